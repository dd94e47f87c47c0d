//! One model's passes on one device: scratch buffers, the plan of dispatches, and their recording.
//!
//! A pass takes rows of tokens at consecutive positions through every layer. Per layer: the product for
//! q, k, v (norm on load), rotation + KV append, attention, output projection + residual, gate and up +
//! activation (norm on load), down + residual: six dispatches, eight where half-blocks have a norm of their own.

mod plan;
mod scratch;

use plan::Plan;
use scratch::Scratch;

use crate::Result;
use crate::cache::KvCache;
use crate::engine::Dtype;
use crate::gpu::{Buffer, Dispatch, Gpu, Pipelines, Profile, RowClass, record};
use crate::kernels::{self, Builder, Epilogue, Product, SPLIT, Sampler};
use crate::model::config::ModelConfig;
use crate::model::device_weights::DeviceWeights;

/// Rows up to which a pass gives the same bits a row as a pass of one.
pub const FEW_ROWS: usize = 64;
/// Budget for the scratch of a prefill chunk.
const SCRATCH_BYTES: usize = 24 << 20;
const ALL_LOGITS_BYTES: usize = 16 << 20;

/// Logits of every row, for evaluation and for tests.
struct AllLogits {
    head: Vec<Dispatch>,
    buffer: Buffer,
    rows: usize,
}

/// What ends a pass.
pub enum Tail<'a> {
    Nothing,
    /// logits of the last row, and the choice
    Sample(&'a Dispatch),
    /// logits of all rows into [`Forward::all_logits`]
    AllLogits,
}

pub struct Forward {
    pub config: ModelConfig,
    pub weights: DeviceWeights,
    pub cache: KvCache,
    pub pipelines: Pipelines,
    pub sampler: Sampler,
    profile: Profile,
    dtype: Dtype,
    max_rows: usize,
    scratch: Scratch,
    plan: Option<Plan>,
    head: Vec<Dispatch>,
    all: Option<AllLogits>,
}

impl Forward {
    /// Allocates scratch and compiles the pipelines, calling `on_progress(done, total)` a few times.
    pub async fn new(
        gpu: &Gpu,
        config: ModelConfig,
        weights: DeviceWeights,
        dtype: Dtype,
        profile: Profile,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Forward> {
        let max_rows = match profile {
            Profile::Cpu => FEW_ROWS,
            Profile::Gpu => {
                let rows = SCRATCH_BYTES / scratch::bytes_per_row(&config);
                (rows / 32 * 32).clamp(FEW_ROWS, 512)
            }
        };
        let scratch = Scratch::new(gpu, &config, max_rows).await?;
        let mut pipelines = Pipelines::default();
        let mut b = Builder { gpu, pipelines: &mut pipelines, profile, dtype, norm: config.norm.kind };
        on_progress(0, 3);
        let last_row = Product {
            extra: Some(&scratch.block_max),
            epilogue: Epilogue::Logits,
            last_row: true,
            ..head_product(&config, &weights, &scratch, &scratch.logits)
        };
        let head = kernels::product(&mut b, last_row).await?;
        let s = &scratch;
        let sampler = kernels::sampler(
            &mut b,
            config.vocab_size,
            [&s.logits, &s.block_max, &s.state, &s.tokens, &s.ring, &s.seen],
        )
        .await?;
        on_progress(1, 3);
        let cache = KvCache::new(&config);
        let mut forward = Forward {
            config,
            weights,
            cache,
            pipelines,
            sampler,
            profile,
            dtype,
            max_rows,
            scratch,
            plan: None,
            head,
            all: None,
        };
        forward.reserve(gpu, 1).await?;
        on_progress(2, 3);
        forward.warm_up(gpu)?;
        on_progress(3, 3);
        Ok(forward)
    }

    /// Runs every pipeline once with no rows: drivers that compile at the first dispatch do it here.
    fn warm_up(&self, gpu: &Gpu) -> Result<()> {
        for rows in [1, 2, self.max_rows] {
            self.set_rows(gpu, &[], 0, 0);
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            for choice in self.sampler.both() {
                self.encode(&mut encoder, rows, 0, &Tail::Sample(choice));
            }
            gpu.queue().submit([encoder.finish()]);
            gpu.wait("warming up the kernels")?;
        }
        Ok(())
    }

    /// Makes the KV cache hold `positions`; plans again if its buffers changed.
    ///
    /// # Errors
    /// [`crate::Error::OutOfDeviceMemory`]: the cache is empty then, and smaller requests still work.
    pub async fn reserve(&mut self, gpu: &Gpu, positions: usize) -> Result<()> {
        if positions <= self.cache.capacity() && self.plan.is_some() {
            return Ok(());
        }
        // The plan's bind groups hold the old buffers.
        self.plan = None;
        if let Err(e) = self.cache.reserve(gpu, &self.config, positions).await {
            self.cache = KvCache::new(&self.config);
            return Err(e);
        }
        self.plan = Some(self.make_plan(gpu).await?);
        Ok(())
    }

    /// Rows of the next pass when `remaining` rows of a prompt are still to come from position `base` on.
    pub fn next_chunk(&self, base: usize, remaining: usize) -> usize {
        let rows = remaining.min(self.max_rows);
        if rows > FEW_ROWS { rows } else { rows.min(self.few_rows(base)) }
    }

    /// Rows that a pass at positions `base ..` may have when its rows must not depend on their number.
    pub fn few_rows(&self, base: usize) -> usize {
        let plan = self.plan.as_ref().expect("reserve() before a pass");
        if self.splits(base + FEW_ROWS) > 1 { plan.parts_rows } else { FEW_ROWS }
    }

    fn splits(&self, positions: usize) -> u32 {
        match self.profile {
            Profile::Gpu => positions.div_ceil(SPLIT as usize).max(1) as u32,
            Profile::Cpu => 1,
        }
    }

    /// Writes the tokens and the state of the next pass: `tokens` at positions `base ..`.
    pub fn set_rows(&self, gpu: &Gpu, tokens: &[u32], base: usize, n_chosen: u32) {
        let state = [tokens.len() as u32, base as u32, n_chosen, 0];
        gpu.queue().write_buffer(&self.scratch.state, 0, bytemuck::cast_slice(&state));
        gpu.queue().write_buffer(&self.scratch.tokens, 0, bytemuck::cast_slice(tokens));
    }

    /// Marks `tokens` as seen (for the repetition penalty), and nothing else.
    pub fn set_seen(&self, gpu: &Gpu, tokens: &[u32]) {
        let mut bits = vec![0u32; self.config.vocab_size.div_ceil(32)];
        for &token in tokens {
            bits[token as usize / 32] |= 1 << (token % 32);
        }
        gpu.queue().write_buffer(&self.scratch.seen, 0, bytemuck::cast_slice(&bits));
    }

    /// Records one pass over `rows` rows at `base ..`; returns its dispatches.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, rows: usize, base: usize, tail: &Tail<'_>) -> usize {
        let plan = self.plan.as_ref().expect("reserve() before a pass");
        let class = match rows {
            0 | 1 => RowClass::One,
            _ if rows <= FEW_ROWS => RowClass::Few,
            _ => RowClass::Many,
        };
        let splits = if class == RowClass::Many { 1 } else { self.splits(base + rows) };
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let rows = rows as u32;
        let mut count = record(&mut pass, &plan.body, class, rows, splits);
        match tail {
            Tail::Nothing => {}
            Tail::Sample(choice) => {
                count += record(&mut pass, &self.head, RowClass::One, 1, 1);
                count += record(&mut pass, [*choice], RowClass::One, 1, 1);
            }
            Tail::AllLogits => {
                let all = self.all.as_ref().expect("prepare_all_logits() before Tail::AllLogits");
                let class = if rows == 1 { RowClass::One } else { RowClass::Few };
                count += record(&mut pass, &all.head, class, rows, 1);
            }
        }
        count
    }

    /// Makes the buffer for logits of all rows; returns how many rows it holds.
    pub async fn prepare_all_logits(&mut self, gpu: &Gpu) -> Result<usize> {
        if let Some(all) = &self.all {
            return Ok(all.rows);
        }
        let rows = (ALL_LOGITS_BYTES / (4 * self.config.vocab_size)).clamp(1, FEW_ROWS);
        let buffer = gpu.storage("logits of all rows", (rows * self.config.vocab_size * 4) as u64).await?;
        let mut b = Builder {
            gpu,
            pipelines: &mut self.pipelines,
            profile: self.profile,
            dtype: self.dtype,
            norm: self.config.norm.kind,
        };
        let every_row = head_product(&self.config, &self.weights, &self.scratch, &buffer);
        let head = kernels::product(&mut b, every_row).await?;
        self.all = Some(AllLogits { head, buffer, rows });
        Ok(rows)
    }

    /// `[rows, vocab_size]` f32 of the last pass with [`Tail::AllLogits`].
    pub fn all_logits(&self) -> &wgpu::Buffer {
        &self.all.as_ref().expect("prepare_all_logits() before all_logits()").buffer
    }

    /// The token chosen n-th lies at slot `n % RING`.
    pub fn ring(&self) -> &wgpu::Buffer {
        &self.scratch.ring
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }
}

/// Final norm and lm_head; what the two heads share.
fn head_product<'a>(
    config: &ModelConfig,
    weights: &'a DeviceWeights,
    s: &'a Scratch,
    logits: &'a wgpu::Buffer,
) -> Product<'a> {
    Product {
        matrix: weights.lm_head.as_ref().unwrap_or(&weights.embedding),
        vectors: &weights.head_vectors,
        state: &s.state,
        x: &s.x[0],
        norm: Some((&s.stats[0], config.hidden_size, config.norm.eps)),
        res: None,
        y: logits,
        y_stride: config.vocab_size,
        n_out: config.vocab_size,
        extra: None,
        epilogue: Epilogue::Store,
        last_row: false,
    }
}
