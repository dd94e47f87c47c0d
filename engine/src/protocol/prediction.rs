//! Asking what a model would take on a device, and the answer as a page shows it. No device is needed for either.

use serde::{Deserialize, Serialize};

use crate::predict::Case;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictRequest {
    pub model: PredictedModel,
    pub draft: Option<PredictedModel>,
    /// of the draft's best guess, one a depth
    pub acceptance: Vec<f64>,
    pub device: PredictedDevice,
    pub case: Case,
    /// what requests to the loaded target took, in their order
    pub measured: Vec<Measured>,
    /// (rows, ms) of the loaded target's passes over a tree, as in [`Costs`](super::Costs)
    pub verify_ms: Vec<(usize, f64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictedModel {
    /// by the name of its shape
    Named(String),
    /// the loaded target
    Target,
    /// the loaded draft
    Draft,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictedDevice {
    Named(String),
    /// the one that the models are loaded on, as `measured` has it
    Here,
}

/// What a plain request took, without a draft.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// tokens of the prompt
    pub input: usize,
    pub output: usize,
    /// to the first token id; `None` where the KV cache still held a part of the prompt
    pub ttft_ms: Option<f64>,
    pub tpot_ms: f64,
}

/// Ready markup without a script, texts escaped, so that the page's module has no code for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictReply {
    /// options of what can be chosen, what was asked for among them selected
    pub models: String,
    pub drafts: String,
    pub devices: String,
    pub dtypes: String,
    /// why [`PredictedDevice::Here`] cannot be predicted for, if it cannot
    pub not_here: Option<String>,
    /// figures, charts, operators, memory, what is assumed; a button with `data-figure` asks for the definition of
    /// `predict::explain` with that id
    pub html: String,
}
