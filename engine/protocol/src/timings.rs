//! Times of starts and requests.

use serde::{Deserialize, Serialize};

/// Phases of a start, in milliseconds; `None` where the phase did not happen or is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// process start to `main`
    pub process_start: Option<f64>,
    /// the engine's WebAssembly module: fetched, compiled and started (browser)
    pub instantiate: Option<f64>,
    /// files of both models brought to this device, or found on it (browser)
    pub fetch: Option<f64>,
    /// their SHA-256 (browser)
    pub hash: Option<f64>,
    /// adapter and device
    pub device: Option<f64>,
    /// files opened, configuration and tokenizer parsed
    pub open: Option<f64>,
    /// weights read, converted and handed to the device
    pub upload: Option<f64>,
    /// pipelines compiled; in a browser they compile beside the phases before, and this is what was still waited for
    pub pipelines: Option<f64>,
    /// these three of the draft model
    pub draft_open: Option<f64>,
    pub draft_upload: Option<f64>,
    pub draft_pipelines: Option<f64>,
    pub tokenise: Option<f64>,
    /// prompt submitted to the last prompt row's logits (the first token's choice included)
    pub prefill: Option<f64>,
    /// first token read to second token read
    pub first_step: Option<f64>,
}

impl Phases {
    /// The phases before the first request that are known, in their order, with their names.
    pub fn loading(&self) -> impl Iterator<Item = (&'static str, f64)> {
        known([
            ("process", self.process_start),
            ("instantiate", self.instantiate),
            ("fetch", self.fetch),
            ("hash", self.hash),
            ("device", self.device),
            ("open", self.open),
            ("upload", self.upload),
            ("pipelines", self.pipelines),
            ("draft open", self.draft_open),
            ("draft upload", self.draft_upload),
            ("draft pipelines", self.draft_pipelines),
        ])
    }

    /// The phases of the request that are known, in their order, with their names.
    pub fn request(&self) -> impl Iterator<Item = (&'static str, f64)> {
        known([("tokenise", self.tokenise), ("prefill", self.prefill), ("first step", self.first_step)])
    }
}

fn known<const N: usize>(phases: [(&'static str, Option<f64>); N]) -> impl Iterator<Item = (&'static str, f64)> {
    phases.into_iter().filter_map(|(name, ms)| Some((name, ms?)))
}

/// Times in milliseconds from the moment the request was submitted. See docs/numbers.md.
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
    /// recorded after the prompt, over tokens after the first
    pub dispatches_per_token: Option<f64>,
    pub peak_gpu_bytes: u64,
    pub weights_bytes: u64,
    pub kv_bytes: u64,
}
