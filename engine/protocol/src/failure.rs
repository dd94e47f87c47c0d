//! An error on its way to a front end: what kind it is, with the values that advice depends on, and what happened in words.
//!
//! A front end branches on the kind, never on the words; what to do is its own to say, in terms of its flags or buttons.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{Error, foreign};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    #[serde(flatten)]
    pub kind: FailureKind,
    /// what was given and what was expected, without advice
    pub message: String,
}

/// What a front end can tell apart. Each kind of [`Error`] has its own, or shares one where the same can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// A message that quotes what somebody else wrote is cut to a readable length and has no commands to a terminal.
    pub fn with(self, message: impl Into<String>) -> Failure {
        let message: String = message.into();
        Failure { kind: self, message: foreign::message(&message) }
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
            Error::Io { path, .. } => Self::FileUnreadable { file: foreign::message(&path.display().to_string()) },
            Error::NotAModel { missing, .. } => Self::FileUnreadable { file: foreign::shown(missing) },
            Error::Truncated { file, .. } => Self::FileTruncated { file: foreign::shown(file) },
            Error::SeveralModels { .. }
            | Error::BadFile { .. }
            | Error::BadConfig { .. }
            | Error::MissingTensor { .. }
            | Error::WrongShape { .. }
            | Error::Tokenizer { .. } => Self::FileInvalid,
            Error::UnknownArchitecture { .. } | Error::UnknownDtype { .. } => Self::ModelUnsupported,
            Error::F16Overflow { .. } => Self::F16Overflow,
            Error::PairMismatch { .. } => Self::PairMismatch,
            Error::ChatTemplate { .. } => Self::ChatTemplate,
            Error::NothingLoaded => Self::NothingLoaded,
            Error::EmptyPrompt => Self::EmptyPrompt,
            Error::TextTooShort { .. } => Self::Other,
            &Error::PromptTooLong { prompt_tokens, context } => Self::PromptTooLong { prompt_tokens, context },
            Error::BadParameter { name, value, expected } => Self::BadParameter {
                name: (*name).into(),
                value: foreign::message(value),
                expected: (*expected).into(),
            },
            &Error::BadToken { token, .. } => Self::BadToken { token },
            Error::NanLogits { .. } => Self::NanLogits,
        }
    }
}

/// A value of a kind, as it crosses.
enum Field {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
                Ok(Field::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(Field::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Written by hand: what serde derives for two flattened enums is a fortieth of the page's module. A kind that this side
/// does not know is [`FailureKind::Other`], so that a newer engine's message still reaches people.
impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = BTreeMap::<String, Field>::deserialize(deserializer)?;
        let mut text = |name: &str| match fields.remove(name) {
            Some(Field::Text(text)) => text,
            _ => String::new(),
        };
        let (kind, message) = (text("kind"), text("message"));
        if kind.is_empty() {
            return Err(de::Error::missing_field("kind"));
        }
        let (file, name, value, expected) = (text("file"), text("name"), text("value"), text("expected"));
        let number = |name: &str| match fields.get(name) {
            Some(&Field::Number(number)) => number,
            _ => 0,
        };
        let kind = match kind.as_str() {
            "no_adapter" => FailureKind::NoAdapter,
            "no_such_adapter" => {
                FailureKind::NoSuchAdapter { asked: number("asked") as usize, available: number("available") as usize }
            }
            "device_refused" => FailureKind::DeviceRefused,
            "device_lost" => FailureKind::DeviceLost,
            "out_of_device_memory" => FailureKind::OutOfDeviceMemory {
                asked_bytes: number("asked_bytes"),
                allocated_bytes: number("allocated_bytes"),
            },
            "device_unfit" => FailureKind::DeviceUnfit,
            "file_unreadable" => FailureKind::FileUnreadable { file },
            "file_truncated" => FailureKind::FileTruncated { file },
            "file_invalid" => FailureKind::FileInvalid,
            "model_unsupported" => FailureKind::ModelUnsupported,
            "f16_overflow" => FailureKind::F16Overflow,
            "pair_mismatch" => FailureKind::PairMismatch,
            "chat_template" => FailureKind::ChatTemplate,
            "nothing_loaded" => FailureKind::NothingLoaded,
            "empty_prompt" => FailureKind::EmptyPrompt,
            "prompt_too_long" => FailureKind::PromptTooLong {
                prompt_tokens: number("prompt_tokens") as usize,
                context: number("context") as usize,
            },
            "bad_parameter" => FailureKind::BadParameter { name, value, expected },
            "bad_token" => FailureKind::BadToken { token: number("token") as u32 },
            "nan_logits" => FailureKind::NanLogits,
            "download" => FailureKind::Download,
            "crashed" => FailureKind::Crashed,
            "protocol" => FailureKind::Protocol,
            _ => FailureKind::Other,
        };
        Ok(kind.with(message))
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
    use crate::Reply;

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

    /// Reading is written by hand: a kind that it leaves out, or a field under another name, fails this.
    #[test]
    fn every_kind_crosses() {
        use FailureKind as Kind;
        let file = || "model.safetensors".to_owned();
        let kinds = [
            Kind::NoAdapter,
            Kind::NoSuchAdapter { asked: 3, available: 1 },
            Kind::DeviceRefused,
            Kind::DeviceLost,
            Kind::OutOfDeviceMemory { asked_bytes: 1 << 40, allocated_bytes: 7 },
            Kind::DeviceUnfit,
            Kind::FileUnreadable { file: file() },
            Kind::FileTruncated { file: file() },
            Kind::FileInvalid,
            Kind::ModelUnsupported,
            Kind::F16Overflow,
            Kind::PairMismatch,
            Kind::ChatTemplate,
            Kind::NothingLoaded,
            Kind::EmptyPrompt,
            Kind::PromptTooLong { prompt_tokens: 9, context: 8 },
            Kind::BadParameter { name: "k".into(), value: "64".into(), expected: "1 to 63".into() },
            Kind::BadToken { token: 512 },
            Kind::NanLogits,
            Kind::Download,
            Kind::Crashed,
            Kind::Protocol,
            Kind::Other,
        ];
        for kind in kinds {
            let reply = Reply::Failed(kind.with("words"));
            let text = serde_json::to_string(&reply).unwrap();
            assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply, "{text}");
        }
    }

    /// An older front end shows a newer engine's message; one without a kind is no failure.
    #[test]
    fn a_kind_of_tomorrow_is_some_other() {
        let text = r#"{"reply":"failed","kind":"on_fire","degrees":451,"message":"words"}"#;
        assert_eq!(serde_json::from_str::<Reply>(text).unwrap(), Reply::Failed(FailureKind::Other.with("words")));
        assert!(serde_json::from_str::<Reply>(r#"{"reply":"failed","message":"words"}"#).is_err());
    }

    /// An error quotes a file that may have 100 MB; as it is, it goes through the socket and into the page.
    #[test]
    fn a_message_has_a_readable_length() {
        let long = "\u{1b}[2J".repeat(1 << 20);
        let failure = Failure::from(Error::UnknownArchitecture { given: long.clone(), known: "llama".into() });
        assert!(failure.message.len() < 3000 && failure.message.contains("…`"), "{}", failure.message);
        assert!(!failure.message.contains('\u{1b}'));
        let text = format!(r#"{{"kind":"other","message":"{}"}}"#, "x".repeat(1 << 20));
        assert!(serde_json::from_str::<Failure>(&text).unwrap().message.len() < 3000);
        let parameter = Error::BadParameter { name: "k", value: long, expected: "1 to 63" };
        assert!(serde_json::to_string(&Failure::from(parameter)).unwrap().len() < 10_000);
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
