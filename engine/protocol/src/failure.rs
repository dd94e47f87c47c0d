//! An error on its way to a front end: what kind it is, with the values that advice depends on, and what happened in words.
//!
//! A front end branches on the kind, never on the words; what to do is its own to say, in terms of its flags or buttons.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    #[serde(flatten)]
    pub kind: FailureKind,
    /// what was given and what was expected, without advice
    pub message: String,
}

/// What a front end can tell apart. Each kind of [`Error`] has its own, or shares one where the same can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// WebGPU is there, but it offers no adapter.
    NoAdapter,
    NoSuchAdapter {
        asked: usize,
        available: usize,
    },
    DeviceRefused,
    DeviceLost,
    OutOfDeviceMemory {
        asked_bytes: u64,
        allocated_bytes: u64,
    },
    /// The device rejected a command, or its limits are too small for the model.
    DeviceUnfit,
    /// A file of the model is missing, or cannot be read.
    FileUnreadable {
        file: String,
    },
    /// A file is shorter than it says itself.
    FileTruncated {
        file: String,
    },
    /// A file is not what it should be.
    FileInvalid,
    /// The model is of a kind that the engine does not know.
    ModelUnsupported,
    /// A weight is too large for f16.
    F16Overflow,
    /// Draft and target have different vocabularies.
    PairMismatch,
    /// The model's chat template failed.
    ChatTemplate,
    NothingLoaded,
    EmptyPrompt,
    PromptTooLong {
        prompt_tokens: usize,
        context: usize,
    },
    BadParameter {
        name: String,
        value: String,
        expected: String,
    },
    BadToken {
        token: u32,
    },
    NanLogits,
    /// A model could not be fetched.
    Download,
    /// The engine itself ended.
    Crashed,
    /// The other side said what this one does not understand.
    Protocol,
    /// Nothing that a front end could act on.
    Other,
}

impl FailureKind {
    pub fn with(self, message: impl Into<String>) -> Failure {
        Failure { kind: self, message: message.into() }
    }
}

impl From<&Error> for FailureKind {
    fn from(error: &Error) -> Self {
        match error {
            Error::NoAdapter { .. } => Self::NoAdapter,
            &Error::NoSuchAdapter { asked, available } => Self::NoSuchAdapter { asked, available },
            Error::DeviceRefused { .. } => Self::DeviceRefused,
            Error::DeviceLost { .. } => Self::DeviceLost,
            &Error::OutOfDeviceMemory { asked_bytes, allocated_bytes, .. } => {
                Self::OutOfDeviceMemory { asked_bytes, allocated_bytes }
            }
            Error::Device { .. } | Error::DeviceLimit { .. } => Self::DeviceUnfit,
            Error::Io { path, .. } => Self::FileUnreadable { file: path.display().to_string() },
            Error::NotAModel { missing, .. } => Self::FileUnreadable { file: missing.clone() },
            Error::Truncated { file, .. } => Self::FileTruncated { file: file.clone() },
            Error::BadFile { .. }
            | Error::BadConfig { .. }
            | Error::MissingTensor { .. }
            | Error::WrongShape { .. }
            | Error::VocabularyMismatch { .. }
            | Error::Tokenizer { .. } => Self::FileInvalid,
            Error::UnknownArchitecture { .. } | Error::UnknownDtype { .. } => Self::ModelUnsupported,
            Error::F16Overflow { .. } => Self::F16Overflow,
            Error::PairMismatch { .. } => Self::PairMismatch,
            Error::ChatTemplate { .. } => Self::ChatTemplate,
            Error::NothingLoaded => Self::NothingLoaded,
            Error::EmptyPrompt => Self::EmptyPrompt,
            &Error::PromptTooLong { prompt_tokens, context } => Self::PromptTooLong { prompt_tokens, context },
            Error::BadParameter { name, value, expected } => {
                Self::BadParameter { name: (*name).into(), value: value.clone(), expected: (*expected).into() }
            }
            &Error::BadToken { token, .. } => Self::BadToken { token },
            Error::NanLogits { .. } => Self::NanLogits,
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        FailureKind::from(error).with(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        (&error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words alone, which front ends would have to search, fail this.
    #[test]
    fn a_kind_crosses_with_its_values() {
        let error = Error::PromptTooLong { prompt_tokens: 9, context: 8 };
        let json = serde_json::to_value(Failure::from(&error)).unwrap();
        assert_eq!(json["kind"], "prompt_too_long");
        assert_eq!((&json["prompt_tokens"], &json["context"]), (&9.into(), &8.into()));
        let back: Failure = serde_json::from_value(json).unwrap();
        assert_eq!(back, Failure::from(&error));
    }

    /// Advice belongs to front ends: a page has no flags. A message that names one fails this.
    #[test]
    fn messages_name_no_flag_and_no_command() {
        let errors = [
            Error::NoAdapter { backends: "Vulkan".into() },
            Error::NoSuchAdapter { asked: 3, available: 1 },
            Error::DeviceLost { doing: "generating", reason: "reset".into() },
            Error::OutOfDeviceMemory { doing: "uploading", asked_bytes: 1, allocated_bytes: 1 },
            Error::F16Overflow { name: "w".into(), value: 1e6, index: 0 },
            Error::PairMismatch { token: 1, target: None, draft: None, target_size: 2, draft_size: 3 },
            Error::NanLogits { position: 3 },
        ];
        for error in errors {
            let text = error.to_string();
            assert!(!text.contains("--") && !text.contains("understory ") && !text.contains("apt-get"), "{text}");
        }
    }
}
