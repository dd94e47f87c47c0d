//! One model's passes on one device: scratch buffers, the plan of dispatches, and their recording.
//!
//! A pass takes rows of tokens at consecutive positions through every layer. Per layer: the product for
//! q, k, v with rotation + KV append (norm on load), attention, output projection + residual, gate and up + activation
//! (norm on load), down + residual: five dispatches; one more where heads have a norm of their own, two more where half-blocks
//! do.

mod logits;
mod plan;
mod scratch;
mod spare;
mod trees;

use std::sync::Arc;

pub use logits::AllLogits;
pub use spare::SpareCache;
pub use trees::TreeSupport;

use logits::head_product;
use plan::Plan;
use scratch::Scratch;
use trees::Commit;
use understory_model::config::ModelConfig;
use understory_protocol::{Dtype, KernelSet, KvDtype, Result, Sampling};

use crate::cache::KvCache;
use crate::device_weights::DeviceWeights;
use crate::gpu::{DEFER_COMPILATION, Dispatch, Gpu, Pipelines, RowClass, record};
use crate::kernels::state::{LIMIT, N_NODES, N_ROWS};
use crate::kernels::{self, Builder, Epilogue, Product, Sampler, split_keys};

/// Rows up to which a pass gives the same bits a row as a pass of one.
pub const MAX_INVARIANT_ROWS: usize = 64;
/// Rows of a prompt that go through the tiled product together at most.
pub const MAX_PREFILL_ROWS: usize = 512;
/// Budget for the scratch of a prefill chunk, and its largest share of the memory that is left.
const SCRATCH_BYTES: u64 = 96 << 20;
const SCRATCH_SHARE: u64 = 16;
/// Rows of a tile of the tiled product.
const TILE_ROWS: u64 = 64;
/// Rows of a prompt up to which it goes row by row while the kernels for several rows are not compiled.
const SHORT: usize = 32;

/// What ends a pass.
pub enum Tail<'a> {
    Nothing,
    /// logits of the last row, and the choice
    Sample(&'a Sampler, &'a Sampling),
    AllLogits(&'a AllLogits),
}

/// Rows of a prompt that go through the tiled product together, each with `bytes_per_row` of scratch: whole tiles, as many
/// as the budget and a share of `free_bytes` hold.
fn prefill_rows(bytes_per_row: usize, free_bytes: u64) -> usize {
    let rows = SCRATCH_BYTES.min(free_bytes / SCRATCH_SHARE) / bytes_per_row as u64;
    ((rows / TILE_ROWS * TILE_ROWS) as usize).clamp(MAX_INVARIANT_ROWS, MAX_PREFILL_ROWS)
}

pub struct Forward {
    pub config: ModelConfig,
    pub weights: DeviceWeights,
    pub cache: KvCache,
    pub pipelines: Pipelines,
    pub sampler: Sampler,
    kernel_set: KernelSet,
    dtype: Dtype,
    max_rows: usize,
    scratch: Scratch,
    plan: Option<Plan>,
    head: Vec<Dispatch>,
    all_logits: Option<Arc<AllLogits>>,
    commit: Option<Commit>,
    /// Single rows go through the pipelines of trees: where the self-test found other bits between the two.
    pub shared_pipeline: bool,
}

impl Forward {
    /// Allocates scratch and compiles the pipelines that are not among `pipelines`, calling `on_progress(done, total)` a
    /// few times.
    pub async fn new(
        gpu: &Gpu,
        config: ModelConfig,
        weights: DeviceWeights,
        (dtype, kv): (Dtype, KvDtype),
        kernel_set: KernelSet,
        mut pipelines: Pipelines,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Forward> {
        let max_rows = match kernel_set {
            KernelSet::Cpu => MAX_INVARIANT_ROWS,
            KernelSet::Gpu => prefill_rows(scratch::bytes_per_row(&config, kernel_set), gpu.free_bytes()),
        };
        let scratch = Scratch::new(gpu, &config, kernel_set, max_rows)?;
        #[cfg(not(target_family = "wasm"))]
        pipelines.put_off_to_compile_together();
        let mut b = Builder { gpu, pipelines: &mut pipelines, kernel_set, norm: config.norm.kind };
        on_progress(0, 3);
        let last_row = Product {
            extra: Some(&scratch.block_max),
            epilogue: Epilogue::Logits,
            last_row: true,
            ..head_product((&config, kernel_set), &weights, &scratch, &scratch.logits)
        };
        let head = kernels::product(&mut b, last_row).await?;
        let s = &scratch;
        let sampler = kernels::sampler(
            &mut b,
            config.vocab_size,
            [&s.logits, &s.block_max, &s.state, &s.tokens, &s.history, &s.seen],
        )
        .await?;
        on_progress(1, 3);
        let cache = KvCache::new(&config, kernel_set, kv);
        let mut forward = Forward {
            config,
            weights,
            cache,
            pipelines,
            sampler,
            kernel_set,
            dtype,
            max_rows,
            scratch,
            plan: None,
            head,
            all_logits: None,
            commit: None,
            shared_pipeline: false,
        };
        forward.reserve(gpu, 1).await?;
        #[cfg(not(target_family = "wasm"))]
        forward.pipelines.compile_together(gpu).await?;
        on_progress(2, 3);
        forward.warm_up(gpu).await?;
        #[cfg(not(target_family = "wasm"))]
        gpu.write_pipelines();
        on_progress(3, 3);
        Ok(forward)
    }

    /// Runs every compiled pipeline once with no rows: drivers that compile at the first dispatch do it here.
    async fn warm_up(&self, gpu: &Gpu) -> Result<()> {
        let rows: &[usize] = if DEFER_COMPILATION { &[1] } else { &[1, 2, self.max_rows] };
        let choices = [Sampling::default(), Sampler::everything()];
        let choices = if DEFER_COMPILATION { &choices[..1] } else { &choices };
        for &rows in rows {
            self.set_rows(gpu, &[], 0);
            gpu.submit_pass(|pass| {
                for choice in choices {
                    self.record(pass, rows, 0, &Tail::Sample(&self.sampler, choice));
                }
            });
            gpu.wait("warming up the kernels").await?;
        }
        Ok(())
    }

    /// Compiles one of the pipelines that were put off; false: there is none left.
    ///
    /// # Errors
    /// [`understory_protocol::Error::Device`], [`understory_protocol::Error::DeviceLost`].
    pub async fn compile_one(&self, gpu: &Gpu) -> Result<bool> {
        self.pipelines.compile_one(gpu).await
    }

    /// Makes the KV cache hold `positions`; plans again if its buffers changed.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`]: the cache is empty then, and smaller requests still work.
    pub async fn reserve(&mut self, gpu: &Gpu, positions: usize) -> Result<()> {
        self.reserve_ahead(gpu, positions, positions).await
    }

    /// As [`Self::reserve`], for a text that ends before `end`: what it makes is enough for a while.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub async fn reserve_ahead(&mut self, gpu: &Gpu, positions: usize, end: usize) -> Result<()> {
        if positions <= self.cache.capacity() && self.plan.is_some() {
            return Ok(());
        }
        // The plan's bind groups hold the old buffers.
        self.plan = None;
        if let Err(e) = self.cache.reserve(gpu, &self.config, positions, end).await {
            self.cache = KvCache::new(&self.config, self.kernel_set, self.cache.dtype());
            return Err(e);
        }
        self.plan = Some(self.make_plan(gpu).await?);
        Ok(())
    }

    /// Rows of the next pass when `remaining` rows of a prompt are still to come from position `base` on.
    pub fn next_chunk(&self, base: usize, remaining: usize) -> usize {
        // Sooner done row by row than with kernels that are still to be compiled.
        if remaining <= SHORT && !self.pipelines.are_compiled() {
            return 1;
        }
        let rows = remaining.min(self.max_rows);
        if rows > MAX_INVARIANT_ROWS { rows } else { rows.min(self.few_rows(base)) }
    }

    /// Rows that a pass at positions `base ..` may have when its rows must not depend on their number.
    pub fn few_rows(&self, base: usize) -> usize {
        if self.splits(base + MAX_INVARIANT_ROWS) > 1 { self.plan().parts_rows } else { MAX_INVARIANT_ROWS }
    }

    /// Rows that a tree may have while the cache holds up to `positions` positions.
    pub fn tree_rows(&self, positions: usize) -> usize {
        match self.splits(positions) {
            1 => MAX_INVARIANT_ROWS,
            // A cache that an earlier request made larger has longer rows of parts, and fewer of them.
            _ => {
                let capacity = self.cache.capacity().max(KvCache::capacity_for(positions));
                plan::parts_rows(&self.config, self.kernel_set, capacity)
            }
        }
    }

    fn splits(&self, positions: usize) -> u32 {
        positions.div_ceil(split_keys(self.kernel_set)).max(1) as u32
    }

    /// Begins a request: nothing chosen, tokens to be chosen for positions below `limit`, `prompt` as history.
    /// `draft_len` rows of the draft's cache are of use.
    pub fn begin(&self, gpu: &Gpu, prompt: &[u32], limit: usize, draft_len: usize) {
        let mut head = [0u32; 32];
        head[N_NODES] = 1;
        head[LIMIT] = limit as u32;
        head[kernels::state::DRAFT_LEN] = draft_len as u32;
        gpu.queue().write_buffer(&self.scratch.state, 0, bytemuck::cast_slice(&head));
        gpu.queue().write_buffer(&self.scratch.history, 0, bytemuck::cast_slice(prompt));
        self.set_seen(gpu, prompt);
    }

    /// Writes the tokens and the place of the next pass: `tokens` at positions `base ..`.
    pub fn set_rows(&self, gpu: &Gpu, tokens: &[u32], base: usize) {
        let place = [tokens.len() as u32, base as u32];
        gpu.queue().write_buffer(&self.scratch.state, 4 * N_ROWS as u64, bytemuck::cast_slice(&place));
        gpu.queue().write_buffer(&self.scratch.tokens, 0, bytemuck::cast_slice(tokens));
    }

    /// Writes words of the state from `at` on.
    pub fn set_words(&self, gpu: &Gpu, at: usize, words: &[u32]) {
        gpu.queue().write_buffer(&self.scratch.state, 4 * at as u64, bytemuck::cast_slice(words));
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
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, rows: usize, base: usize, tail: &Tail<'_>) -> usize {
        let class = match rows {
            0 | 1 if self.shared_pipeline => RowClass::Tree,
            0 | 1 => RowClass::One,
            _ if rows <= MAX_INVARIANT_ROWS => RowClass::Few,
            _ => RowClass::Many,
        };
        let splits = if class == RowClass::Many { 1 } else { self.splits(base + rows) };
        let mut count = record(pass, &self.plan().body, class, rows as u32, splits);
        match tail {
            Tail::Nothing => {}
            Tail::Sample(sampler, sampling) => {
                let class = if self.shared_pipeline { RowClass::Few } else { RowClass::One };
                count += record(pass, &self.head, class, rows as u32, 1);
                count += record(pass, sampler.choice(sampling), RowClass::One, 1, 1);
            }
            Tail::AllLogits(all) => {
                let class = if rows == 1 && !self.shared_pipeline { RowClass::One } else { RowClass::Few };
                count += record(pass, &all.head, class, rows as u32, 1);
            }
        }
        count
    }

    fn plan(&self) -> &Plan {
        self.plan.as_ref().expect("reserve() before a pass")
    }

    /// Where the state lies; `kernels::state` says what its words are.
    pub fn state(&self) -> &wgpu::Buffer {
        &self.scratch.state
    }

    /// What the speed of passes depends on.
    pub fn shape(&self) -> (&ModelConfig, Dtype, KernelSet) {
        (&self.config, self.dtype, self.kernel_set)
    }

    pub fn kernel_set(&self) -> KernelSet {
        self.kernel_set
    }

    /// The kernels of a pass over one row with a greedy choice.
    #[cfg(test)]
    pub fn one_row_kernels(&self) -> impl Iterator<Item = crate::gpu::PipelineName> {
        let dispatches = self.plan().body.iter().chain(&self.head).chain([self.sampler.greedy()]);
        let pipelines = dispatches.filter_map(|dispatch| Some(&dispatch.variants[RowClass::One as usize].as_ref()?.0));
        pipelines.map(|of| (of.shader.kernel, of.shader.features.to_vec(), of.constants.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_prompt_are_whole_tiles_within_the_budget() {
        assert_eq!(prefill_rows(40 << 10, u64::MAX), MAX_PREFILL_ROWS);
        // 96 MiB hold 295 rows.
        assert_eq!(prefill_rows(333 << 10, u64::MAX), 256);
        // A sixteenth of 1 GiB is 64 MiB, 196 rows.
        assert_eq!(prefill_rows(333 << 10, 1 << 30), 192);
        assert_eq!(prefill_rows(333 << 10, 0), MAX_INVARIANT_ROWS);
    }
}
