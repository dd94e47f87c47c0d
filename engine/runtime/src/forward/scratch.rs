//! Buffers between the dispatches of a pass.

use understory_model::config::ModelConfig;
use understory_protocol::{KernelSet, Result};

use crate::device_weights::{BOUND_BYTES, RowOrder, reads_texels};
use crate::gpu::{Buffer, Gpu, Words};
use crate::kernels::state::STATE_WORDS;

const DOING: &str = "allocating activations";

/// Buffers between dispatches; strides are padded widths.
pub(super) struct Scratch {
    pub tokens: Buffer,
    pub state: Buffer,
    /// tokens by position
    pub history: Buffer,
    pub seen: Buffer,
    /// the residual stream, before and after attention, each with its partial sums
    pub x: [Buffer; 2],
    pub stats: [Buffer; 2],
    /// a half-block's output before its own norm
    pub half: Option<(Buffer, Buffer)>,
    /// of layers whose product for them leaves rotation and KV append to a kernel of their own
    pub qkv: Buffer,
    pub q: Words,
    pub attn: Buffer,
    pub hidden: Buffer,
    /// the residual stream, normed or times the next norm's factor, where weights lie in textures
    pub normed: Buffer,
    /// of one row
    pub logits: Buffer,
    pub block_max: Buffer,
}

/// f32 values of one row in each buffer of [`Scratch`] that has rows, in its order from `x`.
struct RowValues {
    x: usize,
    stats: usize,
    qkv: usize,
    q: usize,
    attn: usize,
    hidden: usize,
}

fn row_values(config: &ModelConfig, kernel_set: KernelSet) -> RowValues {
    let all_append = config.layers.iter().all(|layer| RowOrder::of_qkv(config, layer, kernel_set).is_some());
    RowValues {
        x: config.hidden_size.next_multiple_of(8),
        stats: 2 * config.hidden_size.div_ceil(4),
        qkv: if all_append { 0 } else { config.q_dim() + 2 * config.kv_dim() },
        q: config.n_heads * config.head_dim.next_multiple_of(4),
        attn: config.q_dim().next_multiple_of(8),
        hidden: config.intermediate_size.next_multiple_of(8),
    }
}

/// Bytes that one row takes in all of them.
pub(super) fn bytes_per_row(config: &ModelConfig, kernel_set: KernelSet) -> usize {
    let r = row_values(config, kernel_set);
    let streams = if config.post_norms { 3 } else { 2 };
    4 * (streams * (r.x + r.stats) + r.qkv + r.q + r.attn + r.hidden)
}

impl Scratch {
    pub fn new(gpu: &Gpu, config: &ModelConfig, kernel_set: KernelSet, rows: usize) -> Result<Scratch> {
        let r = row_values(config, kernel_set);
        let buffer = |values: usize| gpu.storage_deferred(DOING, (values * 4) as u64);
        let rows_of = |values: usize| buffer(rows * values);
        // What products read as a uniform binding.
        let bound = |values: usize| buffer(rows * values + BOUND_BYTES / 4);
        let texels = reads_texels(kernel_set, config.hidden_size.div_ceil(8));
        Ok(Scratch {
            tokens: rows_of(1)?,
            state: buffer(STATE_WORDS)?,
            // one more than positions: the last token chosen has none
            history: buffer(config.max_position_embeddings + 1)?,
            seen: buffer(config.vocab_size.div_ceil(32))?,
            x: [rows_of(r.x)?, rows_of(r.x)?],
            stats: if texels { [bound(r.stats)?, bound(r.stats)?] } else { [rows_of(r.stats)?, rows_of(r.stats)?] },
            half: match config.post_norms {
                true => Some((rows_of(r.x)?, rows_of(r.stats)?)),
                false => None,
            },
            qkv: rows_of(r.qkv)?,
            q: Words::new(gpu, DOING, (4 * rows * r.q) as u64, kernel_set)?,
            attn: bound(r.attn)?,
            hidden: bound(r.hidden)?,
            normed: bound(if texels { r.x } else { 0 })?,
            logits: buffer(config.vocab_size)?,
            block_max: buffer(2 * config.vocab_size.div_ceil(4))?,
        })
    }
}
