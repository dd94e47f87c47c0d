//! What a front end asks of the engine and what comes back. Both front ends (terminal, page) speak these
//! types and no others; they serialise, so they cross a worker boundary or a socket as they are.

use serde::{Deserialize, Serialize};

use crate::sampling::Sampling;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`
    pub role: String,
    pub content: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Tokenised as it is.
    Text(String),
    /// Through the model's chat template, with the generation prompt appended.
    Chat(Vec<ChatMessage>),
    Tokens(Vec<u32>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    pub prompt: Prompt,
    pub max_new_tokens: usize,
    /// Go on past end tokens.
    pub ignore_eos: bool,
    /// End before the first of these strings; it is not part of the text.
    pub stop: Vec<String>,
    pub sampling: Sampling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Eos,
    Stop,
    Length,
    Context,
    /// The front end asked for an end.
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The prompt is tokenised; prefill begins.
    Started { prompt_tokens: usize, reused_tokens: usize },
    /// Tokens read from the device, with the text that they complete (never half a character; may be empty).
    Emission { token_ids: Vec<u32>, text: String, at_ms: f64 },
}

/// Phases of a start, in milliseconds; `None` where the phase did not happen or is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// process start to `main`
    pub process_start: Option<f64>,
    /// adapter and device
    pub device: Option<f64>,
    /// files opened, configuration and tokenizer parsed
    pub open: Option<f64>,
    /// weights read, converted and handed to the device
    pub upload: Option<f64>,
    /// pipelines compiled
    pub pipelines: Option<f64>,
    pub tokenise: Option<f64>,
    /// prompt submitted to the last prompt row's logits (the first token's choice included)
    pub prefill: Option<f64>,
    /// first token read to second token read
    pub first_step: Option<f64>,
}

/// Times in milliseconds from the moment the request was submitted. See README, "Numbers".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// to the first non-empty text
    pub ttft_ms: Option<f64>,
    /// to the first token id
    pub engine_ttft_ms: Option<f64>,
    /// `(t_last - t_first) / (n_out - 1)`
    pub tpot_ms: Option<f64>,
    /// to the last token
    pub e2el_ms: f64,
    /// `e2el - ttft`
    pub token_generation_ms: Option<f64>,
    pub prefill_tokens_per_s: Option<f64>,
    /// `1000 / tpot_ms`
    pub decode_tokens_per_s: Option<f64>,
    /// when each token was read
    pub emit_ms: Vec<f64>,
    pub phases_ms: Phases,
    pub n_pipelines: usize,
    pub dispatches_per_token: usize,
    pub peak_gpu_bytes: u64,
    pub weights_bytes: u64,
    pub kv_bytes: u64,
}

/// A finished request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    pub prompt_token_ids: Vec<u32>,
    /// every token chosen, an end token included
    pub token_ids: Vec<u32>,
    pub text: String,
    pub finish_reason: FinishReason,
    pub sampling: Sampling,
    pub metrics: Metrics,
}

/// Mean negative log-likelihood of a text under a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub token_ids: Vec<u32>,
    /// nats, one entry a token after the first: `-ln p(token[i + 1] | token[..= i])`
    pub per_token: Vec<f64>,
    pub mean_nll: f64,
    /// `exp(mean_nll)`
    pub perplexity: f64,
}
