//! One model's passes on one device: scratch buffers, the plan of dispatches, and their recording.
//!
//! A pass takes rows of tokens at consecutive positions through every layer. Per layer: the product for
//! q, k, v (norm on load), rotation + KV append, attention, output projection + residual, gate and up +
//! activation (norm on load), down + residual: six dispatches, eight where half-blocks have a norm of their own.

use crate::Result;
use crate::cache::KvCache;
use crate::engine::Dtype;
use crate::gpu::{Buffer, Dispatch, Gpu, Pipelines, Profile, RowClass, record};
use crate::kernels::{self, Attention, Builder, Epilogue, Product, RING, Rope, SPLIT, Sampler};
use crate::model::config::{self, ModelConfig, Residual};
use crate::model::device_weights::DeviceWeights;

const DOING: &str = "allocating activations";
/// Rows up to which a pass gives the same bits a row as a pass of one.
pub const FEW_ROWS: usize = 64;
/// Budget for the scratch of a prefill chunk, and for the parts of split attention.
const SCRATCH_BYTES: usize = 24 << 20;
const PARTS_BYTES: usize = 8 << 20;
const ALL_LOGITS_BYTES: usize = 16 << 20;

/// Buffers between dispatches; strides are padded widths.
struct Scratch {
    tokens: Buffer,
    state: Buffer,
    ring: Buffer,
    seen: Buffer,
    /// the residual stream, before and after attention, each with its partial sums
    x: [Buffer; 2],
    stats: [Buffer; 2],
    /// a half-block's output before its own norm
    half: Option<(Buffer, Buffer)>,
    qkv: Buffer,
    q: Buffer,
    attn: Buffer,
    hidden: Buffer,
    /// of one row
    logits: Buffer,
    block_max: Buffer,
}

/// The part of the plan that depends on the KV cache's buffers.
struct Plan {
    /// embedding and layers
    body: Vec<Dispatch>,
    /// (cos, sin) by position, one table a rope
    _angles: Vec<Buffer>,
    /// parts of split attention, and the rows it has room for
    _parts: Option<Buffer>,
    parts_rows: usize,
}

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
                let rows = SCRATCH_BYTES / scratch_bytes_per_row(&config);
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
        let sampler =
            kernels::sampler(&mut b, config.vocab_size, [&s.logits, &s.block_max, &s.state, &s.tokens, &s.ring, &s.seen])
                .await?;
        on_progress(1, 3);
        let cache = KvCache::new(&config);
        let mut forward =
            Forward { config, weights, cache, pipelines, sampler, profile, dtype, max_rows, scratch, plan: None, head, all: None };
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

    async fn make_plan(&mut self, gpu: &Gpu) -> Result<Plan> {
        let (config, weights, s) = (&self.config, &self.weights, &self.scratch);
        let capacity = self.cache.capacity();
        let mut b = Builder {
            gpu,
            pipelines: &mut self.pipelines,
            profile: self.profile,
            dtype: self.dtype,
            norm: config.norm.kind,
        };
        let mut angles = Vec::new();
        for rope in &config.ropes {
            angles.push(gpu.storage_from(DOING, bytemuck::cast_slice(&angle_table(rope, capacity))).await?);
        }
        let n_splits = capacity.div_ceil(SPLIT as usize);
        let split_bytes = config.n_heads * n_splits * (config.head_dim.next_multiple_of(4) + 4) * 4;
        let parts_rows = (PARTS_BYTES / split_bytes).clamp(1, FEW_ROWS);
        let parts = match self.profile == Profile::Gpu && n_splits > 1 {
            true => Some(gpu.storage(DOING, (parts_rows * split_bytes) as u64).await?),
            false => None,
        };
        let d = config.hidden_size;
        let d_pad = d.next_multiple_of(8);
        let mut body = kernels::embed(
            &mut b,
            &weights.embedding,
            weights.positions.as_deref(),
            [d as f32, config.embedding_scale],
            [&s.tokens, &s.state, &s.x[0], &s.stats[0]],
        )
        .await?;
        for (i, layer) in weights.layers.iter().enumerate() {
            let (kind, kv) = (&config.layers[i], &self.cache.layers[i]);
            let normed = |stats| Some((stats, d, config.norm.eps));
            let common = |matrix, vectors, x| Product {
                matrix,
                vectors,
                state: &*s.state,
                x,
                norm: None,
                res: None,
                y: &*s.qkv,
                y_stride: 0,
                n_out: 0,
                extra: None,
                epilogue: Epilogue::Store,
                last_row: false,
            };
            let qkv_out = config.q_dim() + 2 * config.kv_dim();
            body.extend(
                kernels::product(&mut b, Product {
                    norm: normed(&*s.stats[0]),
                    y_stride: qkv_out,
                    n_out: qkv_out,
                    ..common(&layer.qkv, &layer.qkv_vectors, &s.x[0])
                })
                .await?,
            );
            let rope = Rope {
                qkv: &s.qkv,
                state: &s.state,
                angles: kind.rope.map(|r| (&*angles[r], config.ropes[r].rotary_dim)),
                qk_gamma: layer.qk_gamma.as_deref(),
                q: &s.q,
                k_cache: &kv.k,
                v_cache: &kv.v,
            };
            body.push(kernels::rope(&mut b, config, rope).await?);
            let attention = Attention {
                q: &s.q,
                k_cache: &kv.k,
                v_cache: &kv.v,
                state: &s.state,
                out: &s.attn,
                out_stride: config.q_dim().next_multiple_of(8),
                parts: parts.as_deref().map(|p| (p, n_splits as u32)),
            };
            body.extend(kernels::attention(&mut b, config, kind, attention).await?);

            // x[0] + attention -> x[1]
            let residual = |matrix, vectors, x, res, out: usize| {
                let half = s.half.as_ref();
                Product {
                    res: if half.is_some() { None } else { Some(res) },
                    y: half.map_or(&*s.x[out], |(t, _)| t),
                    y_stride: d_pad,
                    n_out: d,
                    extra: Some(half.map_or(&*s.stats[out], |(_, stats)| stats)),
                    epilogue: Epilogue::Residual,
                    ..common(matrix, vectors, x)
                }
            };
            body.extend(
                kernels::product(&mut b, residual(&layer.attn_out, &layer.attn_out_vectors, &*s.attn, &*s.x[0], 1)).await?,
            );
            if let (Some((t, ts)), Some(gamma)) = (&s.half, &layer.post_attn_gamma) {
                let buffers = [&**t, ts, &s.x[0], &s.x[1], &s.stats[1]];
                body.push(kernels::norm_residual(&mut b, config, gamma, &s.state, buffers).await?);
            }
            // A parallel block's MLP reads what attention read.
            let from = if config.residual == Residual::Parallel { 0 } else { 1 };
            body.extend(
                kernels::product(&mut b, Product {
                    norm: normed(&*s.stats[from]),
                    y: &s.hidden,
                    y_stride: config.intermediate_size.next_multiple_of(8),
                    n_out: config.intermediate_size,
                    epilogue: match config.mlp_gated {
                        true => Epilogue::Gated(config.activation),
                        false => Epilogue::Act(config.activation),
                    },
                    ..common(&layer.mlp_up, &layer.mlp_up_vectors, &s.x[from])
                })
                .await?,
            );
            // x[1] + MLP -> x[0]
            body.extend(
                kernels::product(&mut b, residual(&layer.mlp_down, &layer.mlp_down_vectors, &*s.hidden, &*s.x[1], 0)).await?,
            );
            if let (Some((t, ts)), Some(gamma)) = (&s.half, &layer.post_mlp_gamma) {
                let buffers = [&**t, ts, &s.x[1], &s.x[0], &s.stats[0]];
                body.push(kernels::norm_residual(&mut b, config, gamma, &s.state, buffers).await?);
            }
        }
        Ok(Plan { body, _angles: angles, _parts: parts, parts_rows })
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
fn head_product<'a>(config: &ModelConfig, weights: &'a DeviceWeights, s: &'a Scratch, logits: &'a wgpu::Buffer) -> Product<'a> {
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

/// (cos, sin) of every angle, `[positions, rotary_dim / 2]`, computed in f64.
fn angle_table(rope: &config::Rope, positions: usize) -> Vec<[f32; 2]> {
    let angle = |p: usize, f: &f32| p as f64 * f64::from(*f);
    (0..positions)
        .flat_map(|p| rope.inv_freq.iter().map(move |f| [angle(p, f).cos() as f32, angle(p, f).sin() as f32]))
        .collect()
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

fn row_values(config: &ModelConfig) -> RowValues {
    RowValues {
        x: config.hidden_size.next_multiple_of(8),
        stats: 2 * config.hidden_size.div_ceil(4),
        qkv: config.q_dim() + 2 * config.kv_dim(),
        q: config.n_heads * config.head_dim.next_multiple_of(4),
        attn: config.q_dim().next_multiple_of(8),
        hidden: config.intermediate_size.next_multiple_of(8),
    }
}

fn scratch_bytes_per_row(config: &ModelConfig) -> usize {
    let r = row_values(config);
    let streams = if config.post_norms { 3 } else { 2 };
    4 * (streams * (r.x + r.stats) + r.qkv + r.q + r.attn + r.hidden)
}

impl Scratch {
    async fn new(gpu: &Gpu, config: &ModelConfig, rows: usize) -> Result<Scratch> {
        let r = row_values(config);
        let buffer = |values: usize| gpu.storage(DOING, (values * 4) as u64);
        let rows_of = |values: usize| buffer(rows * values);
        Ok(Scratch {
            tokens: rows_of(1).await?,
            state: buffer(4).await?,
            ring: buffer(RING as usize).await?,
            seen: buffer(config.vocab_size.div_ceil(32)).await?,
            x: [rows_of(r.x).await?, rows_of(r.x).await?],
            stats: [rows_of(r.stats).await?, rows_of(r.stats).await?],
            half: match config.post_norms {
                true => Some((rows_of(r.x).await?, rows_of(r.stats).await?)),
                false => None,
            },
            qkv: rows_of(r.qkv).await?,
            q: rows_of(r.q).await?,
            attn: rows_of(r.attn).await?,
            hidden: rows_of(r.hidden).await?,
            logits: buffer(config.vocab_size).await?,
            block_max: buffer(2 * config.vocab_size.div_ceil(4)).await?,
        })
    }
}
