//! The logits of every row of a pass: for trees, for evaluation and for tests.

use std::sync::Arc;

use understory_model::config::ModelConfig;
use understory_protocol::{KernelSet, Result};

use super::scratch::Scratch;
use super::{Forward, MAX_INVARIANT_ROWS};
use crate::device_weights::DeviceWeights;
use crate::gpu::{Buffer, Dispatch, Gpu};
use crate::kernels::{self, Builder, Epilogue, Product};

const DOING: &str = "logits of all rows";
const ALL_LOGITS_BYTES: usize = 32 << 20;

/// The head of a pass that leaves the logits of every row, and its buffers. [`Forward::all_logits`] makes it: a pass
/// cannot end in it before.
pub struct AllLogits {
    pub(super) head: Vec<Dispatch>,
    /// `[rows, vocab_size]` f32 of the last pass that ended in this
    pub logits: Buffer,
    pub(super) block_max: Buffer,
    /// how many rows the buffers hold
    pub rows: usize,
}

impl Forward {
    /// Makes the buffers for logits of all rows, where there are none yet.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    #[cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync, reason = "threads are native only"))]
    pub async fn all_logits(&mut self, gpu: &Gpu) -> Result<Arc<AllLogits>> {
        if let Some(all) = &self.all_logits {
            return Ok(all.clone());
        }
        let vocab = self.config.vocab_size;
        let rows = (ALL_LOGITS_BYTES / (4 * vocab)).clamp(1, MAX_INVARIANT_ROWS);
        let logits = gpu.storage(DOING, (rows * vocab * 4) as u64).await?;
        let block_max = gpu.storage(DOING, (rows * vocab.div_ceil(4) * 8) as u64).await?;
        let mut b =
            Builder { gpu, pipelines: &mut self.pipelines, kernel_set: self.kernel_set, norm: self.config.norm.kind };
        let every_row = Product {
            extra: Some(&block_max),
            epilogue: Epilogue::Logits,
            ..head_product((&self.config, self.kernel_set), &self.weights, &self.scratch, &logits)
        };
        let head = kernels::product(&mut b, every_row).await?;
        let all = Arc::new(AllLogits { head, logits, block_max, rows });
        self.all_logits = Some(all.clone());
        Ok(all)
    }
}

/// Final norm and lm_head; what the two heads share.
pub(super) fn head_product<'a>(
    (config, kernel_set): (&ModelConfig, KernelSet),
    weights: &'a DeviceWeights,
    s: &'a Scratch,
    logits: &'a wgpu::Buffer,
) -> Product<'a> {
    let is_scaled = kernels::scales_ahead(config, kernel_set);
    Product {
        matrix: weights.lm_head.as_ref().unwrap_or(&weights.embedding),
        vectors: &weights.head_vectors,
        state: &s.state,
        x: if is_scaled { &s.normed } else { &s.x[0] },
        norm: Some((&s.stats[0], config.hidden_size, config.norm.eps)),
        res: None,
        y: logits,
        y_stride: config.vocab_size,
        n_out: config.vocab_size,
        extra: None,
        epilogue: Epilogue::Store,
        last_row: false,
        is_scaled,
        normed: &s.normed,
        next_gamma: None,
        append: None,
    }
}
