//! The one error type of the engine. A message says what was given and what was expected; what to do about it is said by
//! the front end, which knows its own flags and buttons. Asserts are for programmers' mistakes only.

use std::path::PathBuf;

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
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} is not a model folder: {missing} is missing. A model folder holds config.json, tokenizer.json and model.safetensors (or its shards with model.safetensors.index.json)"
    )]
    NotAModel { path: PathBuf, missing: String },
    #[error("{file}: {reason}")]
    BadFile { file: String, reason: String },
    #[error("{file} is cut short: its header promises {expected} bytes, the file has {actual}")]
    Truncated { file: String, expected: u64, actual: u64 },
    #[error("{file}: key `{key}` {reason}")]
    BadConfig { file: String, key: String, reason: String },
    #[error("unknown architecture `{given}`; known: {known}")]
    UnknownArchitecture { given: String, known: String },
    #[error("tensor `{name}` is missing from the weights (a {architecture} model needs it)")]
    MissingTensor { name: String, architecture: String },
    #[error("tensor `{name}` has shape {actual:?}, the configuration expects {expected:?}")]
    WrongShape { name: String, expected: Vec<usize>, actual: Vec<usize> },
    #[error("tensor `{name}` is stored as {dtype}; known: F32, F16, BF16")]
    UnknownDtype { name: String, dtype: String },
    #[error("tensor `{name}` holds {value} at index {index}, beyond what f16 can hold (65504)")]
    F16Overflow { name: String, value: f32, index: usize },
    #[error(
        "the tokenizer knows {tokenizer} tokens, config.json says vocab_size = {config}: they belong to different models"
    )]
    VocabularyMismatch { tokenizer: usize, config: usize },
    #[error(
        "draft and target have different vocabularies (sizes {draft_size} and {target_size}): token {token} is {} to the draft and {} to the target",
        spelled(draft),
        spelled(target)
    )]
    PairMismatch { token: u32, target: Option<String>, draft: Option<String>, target_size: usize, draft_size: usize },
    #[error("tokenizer: {reason}")]
    Tokenizer { reason: String },
    #[error("chat template: {reason}")]
    ChatTemplate { reason: String },

    // ---- requests
    #[error("no model is loaded")]
    NothingLoaded,
    #[error("the prompt is empty: at least one token of text is needed")]
    EmptyPrompt,
    #[error("the prompt has {prompt_tokens} tokens, the model's context holds {context}")]
    PromptTooLong { prompt_tokens: usize, context: usize },
    #[error("{name} = {value} is out of range: expected {expected}")]
    BadParameter { name: &'static str, value: String, expected: &'static str },
    #[error("token {token} is not in the vocabulary of {vocab_size}")]
    BadToken { token: u32, vocab_size: usize },
    #[error("the model produced NaN logits at position {position}: its weights or their conversion are broken")]
    NanLogits { position: usize },
}

/// A token's text for a message.
fn spelled(text: &Option<String>) -> String {
    text.as_ref().map_or_else(|| "unknown".into(), |text| format!("{text:?}"))
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
