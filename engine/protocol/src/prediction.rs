//! Asking what a model would take on a device, and the answer as a page shows it. No device is needed for either.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictRequest {
    pub model: PredictedModel,
    pub draft: Option<PredictedModel>,
    /// of the draft's best guess, one a depth
    pub acceptance: Vec<f64>,
    pub device: PredictedDevice,
    pub case: Case,
    /// what requests to the loaded target took, in their order
    pub measured: Vec<MeasuredRequest>,
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
pub struct MeasuredRequest {
    /// tokens of the prompt
    pub input: usize,
    pub output: usize,
    /// to the first token id; `None` where the KV cache still held a part of the prompt
    pub ttft_ms: Option<f64>,
    pub tpot_ms: f64,
}

/// One entry of a list to choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectOption {
    pub value: String,
    pub label: String,
    pub selected: bool,
    pub enabled: bool,
}

/// What was predicted, and what else can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictReply {
    /// what can be chosen, what was asked for among it selected
    pub models: Vec<SelectOption>,
    pub drafts: Vec<SelectOption>,
    pub devices: Vec<SelectOption>,
    pub dtypes: Vec<SelectOption>,
    /// why [`PredictedDevice::Here`] cannot be predicted for, if it cannot
    pub not_here: Option<String>,
    /// figures, charts, operators, memory, what is assumed; a button with `data-figure` asks for the definition of
    /// `predict::explain` with that id
    pub html: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub dtype: Precision,
    /// tokens of the prompt, of each sequence
    pub input: usize,
    /// tokens that follow, the first included
    pub output: usize,
    /// sequences at once
    pub batch: usize,
    /// rows of a prompt that go through together; `None`: the device's own
    pub chunk: Option<usize>,
    pub tensor_parallel: usize,
    pub lora: Option<Lora>,
}

/// How weights are stored and what is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F16,
    Bf16,
    /// weights and activations of the products; the rest in 16 bits
    Int8,
    /// weights alone, in blocks of 32 with a scale of 16 bits; computed in f16
    Int4,
}

impl Precision {
    pub const ALL: [Precision; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Int8, Self::Int4];

    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// Bytes of a weight of a matrix, its share of a scale included.
    pub fn weight_bytes(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::F16 | Self::Bf16 => 2.0,
            Self::Int8 => 1.0,
            Self::Int4 => 0.5 + 2.0 / 32.0,
        }
    }
}

/// Adapters of low rank beside every product of a layer (Hu et al. 2021, arXiv 2106.09685).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lora {
    pub rank: usize,
    /// added to the weights beforehand: the arithmetic is the model's own then
    pub merged: bool,
}
