//! What a longer context should cost: its rows of the KV cache are read once a step.

use serde::Serialize;
use understory_model::config::ModelConfig;
use understory_protocol::KvDtype;

use super::fit::{Fits, Form};
use crate::report::Estimate;

/// What is known of the memory that the KV cache lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    pub kv_bytes_per_token: Option<u64>,
    /// as measured; 1e9 bytes a second
    pub bandwidth_gb_per_s: Option<f64>,
}

/// Slope of the step time beside the bytes that explain it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KvTerm {
    #[serde(flatten)]
    pub memory: Memory,
    /// ms by which a token of context lengthens a step: `alpha` of the linear form, whether or not that form was chosen
    pub alpha_ms: Estimate,
    /// ms to read a token's K and V
    pub bytes_over_bandwidth_ms: Option<f64>,
    /// the first over the second: 1 where a step's growth is the reading of the cache and nothing else
    pub ratio: Option<Estimate>,
}

/// K and V of one position in all layers, as the cache has them. (A layer with a sliding window reads no more than
/// its window: beyond it, this is an upper bound.)
pub fn kv_bytes_per_token(config: &ModelConfig, dtype: KvDtype) -> u64 {
    let row = config.n_kv_heads * config.head_dim.next_multiple_of(4);
    (config.n_layers() * 2 * row * dtype.bytes()) as u64
}

/// `None` where the points do not determine a slope.
pub fn term(fits: &Fits, memory: &Memory) -> Option<KvTerm> {
    let alpha = *fits.of(Form::Linear)?.parameter("alpha")?;
    let expected = match (memory.kv_bytes_per_token, memory.bandwidth_gb_per_s) {
        (Some(bytes), Some(rate)) if rate > 0.0 => Some(bytes as f64 / (rate * 1e6)),
        _ => None,
    };
    let over = |ms: f64| Estimate::new(alpha.value / ms, alpha.interval.map(|ends| ends.map(|end| end / ms)), alpha.n);
    Some(KvTerm { memory: *memory, alpha_ms: alpha, bytes_over_bandwidth_ms: expected, ratio: expected.map(over) })
}
