//! What was measured. `None` is unknown, never zero.

use serde::{Deserialize, Serialize};

use understory_protocol::{Dtype, KernelSet};

/// All kernels of one kernel set at the shapes of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelReport {
    /// the model whose sizes these are
    pub shape: String,
    pub profile: KernelSet,
    pub dtype: Dtype,
    /// of all shaders' text ([`understory_shaders::hash`])
    pub shaders_hash: String,
    /// layers with weights of their own that a measurement runs through; see [`super::kernels`]
    pub layers: usize,
    /// GB/s, bytes read plus bytes written
    pub copy: Ceiling,
    /// GFLOP/s in f32, a fused multiply-add counting two
    pub peak: Ceiling,
    pub rows: Vec<KernelRow>,
    /// microseconds of a greedy token by what takes them, at the shortest context
    pub token_us: Vec<(String, f64)>,
    /// the same of a pass that verifies [`super::ROUND_ROWS`] rows, with the target's choice at each
    pub round_us: Vec<(String, f64)>,
    /// all products of a layer for n rows at once, ascending by n, beginning with 1
    pub verify: Vec<VerifyPoint>,
}

/// A measured limit of the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// median, in the unit that the field holding this names
    pub value: f64,
    pub samples: Vec<f64>,
}

/// One kernel at one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelRow {
    /// as in `shaders/kernels`
    pub kernel: String,
    /// what it computes, such as `qkv 2560 -> 7680`
    pub shape: String,
    /// rows of activations
    pub rows: usize,
    /// median time of one operation
    pub time_us: f64,
    pub samples_us: Vec<f64>,
    /// weights and activations, each read or written once
    pub bytes: u64,
    /// two a multiply-add of the products; `None` for kernels that have none
    pub flops: Option<u64>,
    pub gb_per_s: f64,
    pub gflop_per_s: Option<f64>,
    pub share_of_copy: f64,
    pub share_of_peak: Option<f64>,
}

/// A point of the verify curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyPoint {
    pub rows: usize,
    /// median time of one layer's products
    pub time_us: f64,
    pub samples_us: Vec<f64>,
    /// c(n) / c(1): median over rounds of the ratio within the round
    pub ratio: f64,
}
