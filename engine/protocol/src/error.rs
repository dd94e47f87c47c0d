//! The one error type of the engine. A message says what was given and what was expected; what to do about it is said by
//! the front end, which knows its own flags and buttons. Asserts are for programmers' mistakes only.
//!
//! Names, values and reasons that come from a model's files are bounded in length here, and lose what a terminal would
//! obey ([`crate::foreign`]); the fields hold them as they were.

use std::path::{Path, PathBuf};

use crate::foreign::{harmless, shown, words};

/// Everything that can go wrong between a model's name and its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // ---- device
    #[error("no usable GPU adapter was found (looked for {backends})")]
    NoAdapter { backends: String },
    #[error("adapter {asked} was asked for, but this computer has {available}, numbered from 0")]
    NoSuchAdapter { asked: usize, available: usize },
    #[error("the adapter `{adapter}` refused to open a device: {reason}")]
    DeviceRefused { adapter: String, reason: String },
    #[error("the device was lost while {doing}: {reason}. Nothing can be saved from its memory")]
    DeviceLost { doing: &'static str, reason: String },
    #[error(
        "the device ran out of memory while {doing} ({asked_bytes} bytes asked for, {allocated_bytes} already in use)"
    )]
    OutOfDeviceMemory { doing: &'static str, asked_bytes: u64, allocated_bytes: u64 },
    #[error("the device rejected a command while {doing}: {reason}")]
    Device { doing: &'static str, reason: String },
    #[error("this device cannot run the model: {what} needs {needed}, the device offers {offered}")]
    DeviceLimit { what: String, needed: u64, offered: u64 },

    // ---- model files
    #[error("cannot read {}: {source}", shown_path(path))]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{} is not a model folder: {} is missing. A model folder holds config.json, tokenizer.json and model.safetensors (or its shards with model.safetensors.index.json), or a GGUF model",
        shown_path(path),
        shown(missing)
    )]
    NotAModel { path: PathBuf, missing: String },
    #[error("{} holds several models: {}", shown_path(path), shown(&found.join(", ")))]
    SeveralModels { path: PathBuf, found: Vec<String> },
    #[error("{}: {}", shown(file), words(reason))]
    BadFile { file: String, reason: String },
    #[error("{} is cut short: its header promises {expected} bytes, the file has {actual}", shown(file))]
    Truncated { file: String, expected: u64, actual: u64 },
    #[error("{}: key `{}` {}", shown(file), shown(key), words(reason))]
    BadConfig { file: String, key: String, reason: String },
    #[error("unknown architecture `{}`; known: {known}", shown(given))]
    UnknownArchitecture { given: String, known: String },
    #[error("tensor `{}` is missing from the weights (a {architecture} model needs it)", shown(name))]
    MissingTensor { name: String, architecture: String },
    #[error("tensor `{}` has shape {}, the configuration expects {expected:?}", shown(name), shown(&format!("{actual:?}")))]
    WrongShape { name: String, expected: Vec<usize>, actual: Vec<usize> },
    #[error("tensor `{}` is stored as {}; known: {known}", shown(name), shown(dtype))]
    UnknownDtype { name: String, dtype: String, known: &'static str },
    #[error("tensor `{}` holds {value} at index {index}, beyond what f16 can hold (65504)", shown(name))]
    F16Overflow { name: String, value: f32, index: usize },
    #[error(
        "draft and target have different vocabularies (sizes {draft_size} and {target_size}): token {token} is {} to the draft and {} to the target",
        spelled(draft),
        spelled(target)
    )]
    PairMismatch { token: u32, target: Option<String>, draft: Option<String>, target_size: usize, draft_size: usize },
    #[error("tokenizer: {}", words(reason))]
    Tokenizer { reason: String },
    #[error("chat template: {}", words(reason))]
    ChatTemplate { reason: String },

    // ---- requests
    #[error("no model is loaded")]
    NothingLoaded,
    #[error("the prompt is empty: at least one token of text is needed")]
    EmptyPrompt,
    #[error("the text has {tokens} token(s); its likelihood needs at least 2, since the first is only read")]
    TextTooShort { tokens: usize },
    #[error("the prompt has {prompt_tokens} tokens, the model's context holds {context}")]
    PromptTooLong { prompt_tokens: usize, context: usize },
    #[error("{}", out_of_range(name, value, expected))]
    BadParameter { name: &'static str, value: String, expected: &'static str },
    #[error("token {token} is not in the vocabulary of {vocab_size}")]
    BadToken { token: u32, vocab_size: usize },
    #[error(
        "the model produced logits that are no finite numbers (NaN or infinity) at position {position}: its weights or their conversion are broken"
    )]
    NanLogits { position: usize },
}

/// The words of [`Error::BadParameter`], for those who have no use for the words of all the others.
pub fn out_of_range(name: &str, value: &str, expected: &str) -> String {
    format!("{name} = {value} is out of range: expected {expected}")
}

/// A token's text for a message.
fn spelled(text: &Option<String>) -> String {
    text.as_ref().map_or_else(|| "unknown".into(), |text| format!("{:?}", shown(text)))
}

fn shown_path(path: &Path) -> String {
    harmless(&path.display().to_string())
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Formatting the fields as they are fails this: a name of a megabyte, and one that clears the screen.
    #[test]
    fn foreign_text_in_a_message_is_short_and_harmless() {
        let hostile = || format!("\u{1b}[2J\u{202e}{}", "x".repeat(1_000_000));
        let errors = [
            Error::BadFile { file: hostile(), reason: hostile() },
            Error::BadConfig { file: hostile(), key: hostile(), reason: hostile() },
            Error::UnknownArchitecture { given: hostile(), known: "llama".into() },
            Error::MissingTensor { name: hostile(), architecture: "llama".into() },
            Error::WrongShape { name: hostile(), expected: vec![1], actual: vec![1; 100_000] },
            Error::UnknownDtype { name: hostile(), dtype: hostile(), known: "F32" },
            Error::F16Overflow { name: hostile(), value: 1.0e9, index: 0 },
            Error::Truncated { file: hostile(), expected: 2, actual: 1 },
            Error::NotAModel { path: "m".into(), missing: hostile() },
            Error::SeveralModels { path: "m".into(), found: vec![hostile(), hostile()] },
            Error::PairMismatch { token: 0, target: Some(hostile()), draft: None, target_size: 1, draft_size: 1 },
            Error::Tokenizer { reason: hostile() },
            Error::ChatTemplate { reason: hostile() },
        ];
        for error in errors {
            let message = error.to_string();
            assert!(message.chars().count() < 2000, "{} characters", message.len());
            assert!(!message.contains(['\u{1b}', '\u{202e}']), "{message:?}");
        }
    }
}
