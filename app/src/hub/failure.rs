//! What can go wrong between here and the hub, in the user's words.

use std::{fmt, io};

use understory_protocol::foreign::shown;

use super::HubName;
use super::http::Trouble;

/// Why a download did not happen. Each is about one repository; [`DownloadFailure::explain`] adds which.
#[derive(Debug)]
pub enum DownloadFailure {
    /// The hub answered with an error status, for this file or the repository itself.
    Status { status: u16, file: Option<String> },
    /// No answer: no network, no such host, nobody listening.
    Unreachable(String),
    /// The connection broke in the middle of a file, or of the list of files, or nothing came any more.
    Interrupted { file: Option<String>, reason: String },
    /// The disk is full.
    NoSpace { file: String },
    /// Writing to the cache failed otherwise.
    Disk { file: String, reason: String },
    /// Another process holds the file's lock and does not get on.
    Locked { file: String },
    /// Nobody wants it any more.
    Stopped,
    /// What came is not what the hub promised.
    Corrupt { file: String, reason: String },
    /// The repository holds no model that can be used here.
    Unsuitable(String),
    /// The server does not speak as a hub does.
    NotAHub(String),
}

impl DownloadFailure {
    /// From the HTTP client; `file` is what was asked for, `None` the list of files.
    pub fn of(trouble: Trouble, file: Option<&str>) -> Self {
        match trouble {
            Trouble::Unreachable(reason) => Self::Unreachable(reason),
            Trouble::Interrupted(reason) => Self::Interrupted { file: file.map(Into::into), reason },
            Trouble::NotAHub(reason) => Self::NotAHub(reason),
            Trouble::Stopped => Self::Stopped,
        }
    }

    /// From the file system.
    pub fn from_io(error: io::Error, file: String) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::NoSpace { file },
            _ => Self::Disk { file, reason: error.to_string() },
        }
    }

    /// Whether the network itself failed, so that a cached copy may stand in.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Interrupted { .. })
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Interrupted { .. } | Self::Status { status: 429 | 500..=599, .. })
    }

    /// What happened, and what to do about it.
    pub fn explain(&self, name: &HubName, endpoint: &str) -> Unavailable {
        let HubName { repo, revision, .. } = name;
        let endpoint = shown(endpoint);
        let what = |file: &Option<String>| file.as_ref().map_or(String::new(), |file| format!("{file} of "));
        let (what, advice) = match self {
            Self::Status { status: 401, file } => (
                format!(
                    "{endpoint} refuses {}{repo} (401): the repository does not exist (no folder has that name either), \
                     is private, or requires that you accept its terms",
                    what(file)
                ),
                "Check the name, and set HF_TOKEN to an access token of an account that may read the repository.",
            ),
            Self::Status { status: 403, file } => (
                format!("{endpoint} forbids {}{repo} (403)", what(file)),
                "Accept the model's terms on its page, and set HF_TOKEN to an access token of that account.",
            ),
            Self::Status { status: 404, file } => (
                format!(
                    "{endpoint} has no {}{repo} at revision `{revision}` (404), and no folder has that name",
                    what(file)
                ),
                "Check owner, name and revision.",
            ),
            Self::Status { status, file } => {
                (format!("{endpoint} answered {status} for {}{repo}", what(file)), "Try again later.")
            }
            Self::Unreachable(reason) => (
                format!("cannot reach {endpoint} for {repo} ({reason})"),
                "Check the network and HF_ENDPOINT. `tales` and the models that `understory models` lists need no network.",
            ),
            Self::Interrupted { file: None, reason } => {
                (format!("{endpoint} stopped answering for {repo} ({reason})"), "Try again later.")
            }
            Self::Interrupted { file: Some(file), reason } => (
                format!("the download of {file} of {repo} broke off ({reason})"),
                "What has arrived is kept: run the same command again to resume.",
            ),
            Self::NoSpace { file } => (
                format!("no space left on the disk for {file} of {repo}"),
                "Free some, or set HF_HOME to a folder on another disk. What has arrived is kept, and the download resumes.",
            ),
            Self::Disk { file, reason } => (
                format!("cannot store {file} of {repo} in the cache: {reason}"),
                "Check the cache folder, or set HF_HOME.",
            ),
            Self::Stopped => {
                return Unavailable { what: format!("the download of {repo} was stopped"), advice: None };
            }
            Self::Locked { file } => {
                (format!("another process is downloading {file} of {repo}"), "Wait for it, then run again.")
            }
            Self::Corrupt { file, reason } => (
                format!("{file} of {repo} arrived damaged ({reason}) and was removed"),
                "Run again to download it again.",
            ),
            Self::Unsuitable(reason) => {
                return Unavailable { what: format!("{repo} cannot be used: {reason}"), advice: None };
            }
            Self::NotAHub(reason) => {
                (format!("{endpoint} does not answer as a Hugging Face hub does ({reason})"), "Check HF_ENDPOINT.")
            }
        };
        Unavailable { what, advice: Some(advice.into()) }
    }
}

/// A model that is neither in the cache nor to be had from the hub: the error that leaves this module.
#[derive(Debug)]
pub struct Unavailable {
    pub what: String,
    /// in terms of flags and environment variables; [`crate::exit::told`] adds it
    pub advice: Option<String>,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Unavailable {}
