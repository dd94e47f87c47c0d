//! What can go wrong between here and the hub, in the user's words.

use std::{fmt, io};

use hf_hub::api::sync::ApiError;

use super::HubName;

/// Why a download did not happen. Each is about one repository; [`DownloadFailure::explain`] adds which.
#[derive(Debug)]
pub enum DownloadFailure {
    /// The hub answered with an error status, for this file or the repository itself.
    Status { status: u16, file: Option<String> },
    /// No answer: no network, no such host, nobody listening.
    Unreachable(String),
    /// The connection broke in the middle of a file.
    Interrupted { file: String, reason: String },
    /// The disk is full.
    NoSpace { file: String },
    /// Writing to the cache failed otherwise.
    Disk { file: String, reason: String },
    /// Another process holds the file's lock.
    Locked { file: String },
    /// What came is not what the hub promised.
    Corrupt { file: String, reason: String },
    /// The repository holds no model that can be used here.
    Unsuitable(String),
    /// The server does not speak as a hub does.
    NotAHub(String),
}

impl DownloadFailure {
    /// From hf-hub's error; `file` is what was asked for.
    pub fn from_api(error: ApiError, file: &str) -> Self {
        match error {
            ApiError::RequestError(error) => Self::from_request(*error, Some(file)),
            ApiError::IoError(error) => Self::from_io(error, file.into()),
            ApiError::LockAcquisition(_) => Self::Locked { file: file.into() },
            error => Self::NotAHub(error.to_string()),
        }
    }

    /// From the HTTP client's error; `file` is what was asked for, `None` the repository.
    pub fn from_request(error: ureq::Error, file: Option<&str>) -> Self {
        let transport = match error {
            ureq::Error::Status(status, _) => return Self::Status { status, file: file.map(Into::into) },
            ureq::Error::Transport(transport) => transport,
        };
        match transport.kind() {
            ureq::ErrorKind::InvalidUrl | ureq::ErrorKind::UnknownScheme | ureq::ErrorKind::BadStatus => {
                Self::NotAHub(transport.to_string())
            }
            _ => Self::Unreachable(transport.to_string()),
        }
    }

    /// While a body is copied to disk both ends fail with [`io::Error`]; their kinds tell them apart.
    pub fn from_io(error: io::Error, file: String) -> Self {
        use io::ErrorKind as Kind;
        let reason = error.to_string();
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::NoSpace { file },
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::TimedOut
            | Kind::WouldBlock
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable => Self::Interrupted { file, reason },
            _ => Self::Disk { file, reason },
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
        let HubName { repo, revision } = name;
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
            Self::Interrupted { file, reason } => (
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
