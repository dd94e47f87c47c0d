//! What can go wrong between here and the hub, in the user's words.

use std::io;

use hf_hub::api::sync::ApiError;

use super::HubName;

/// Why a download did not happen. Each is about one repository; [`Failure::explain`] adds which.
#[derive(Debug)]
pub enum Failure {
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

impl Failure {
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

    /// One message: what happened, and what to do.
    pub fn explain(&self, name: &HubName, endpoint: &str) -> String {
        let HubName { repo, revision } = name;
        let what = |file: &Option<String>| file.as_ref().map_or(String::new(), |file| format!("{file} of "));
        match self {
            Self::Status { status: 401, file } => format!(
                "{endpoint} does not give {}{repo} to you (401): it does not exist (no folder of that name does either), \
                 is private, or asks you to accept its terms. Check the name, and set HF_TOKEN to an access token of an \
                 account that may read it",
                what(file)
            ),
            Self::Status { status: 403, file } => format!(
                "{endpoint} forbids {}{repo} (403): accept the model's terms on its page, and set HF_TOKEN to an access \
                 token of that account",
                what(file)
            ),
            Self::Status { status: 404, file } => format!(
                "{endpoint} has no {}{repo} at revision `{revision}` (404), and no folder of that name exists. \
                 Check owner, name and revision",
                what(file)
            ),
            Self::Status { status, file } => {
                format!("{endpoint} answered {status} for {}{repo}; try again later", what(file))
            }
            Self::Unreachable(reason) => format!(
                "cannot reach {endpoint} for {repo} ({reason}). Check the network and HF_ENDPOINT; \
                 `tales` and the models that `understory models` lists need no network"
            ),
            Self::Interrupted { file, reason } => format!(
                "the download of {file} of {repo} broke off ({reason}). What has arrived is kept: run the same command \
                 again to go on from there"
            ),
            Self::NoSpace { file } => format!(
                "no space left on the disk for {file} of {repo}. Free some, or point HF_HOME to a disk that has it; \
                 what has arrived is kept and the download goes on from there"
            ),
            Self::Disk { file, reason } => format!("cannot store {file} of {repo} in the cache: {reason}"),
            Self::Locked { file } => {
                format!("another process is downloading {file} of {repo}; wait for it, then run again")
            }
            Self::Corrupt { file, reason } => {
                format!("{file} of {repo} arrived damaged ({reason}) and was removed; run again to download it anew")
            }
            Self::Unsuitable(reason) => format!("{repo} cannot be used: {reason}"),
            Self::NotAHub(reason) => {
                format!("{endpoint} does not answer as a Hugging Face hub does ({reason}); check HF_ENDPOINT")
            }
        }
    }
}
