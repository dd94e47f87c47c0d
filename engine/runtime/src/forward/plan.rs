//! The dispatches of a pass, with bind groups over the KV cache's buffers.

use understory_model::config::{self, ModelConfig, Residual};
use understory_protocol::method::MAX_NODES;
use understory_protocol::{KernelSet, Result};

use super::{Forward, MAX_INVARIANT_ROWS};
use crate::device_weights::RowOrder;
use crate::gpu::{Buffer, Dispatch, Gpu, Words};
use crate::kernels::{self, Append, Attention, Builder, Epilogue, Product, Rope, split_keys};

const DOING: &str = "planning a pass";
/// Budget for the parts of split attention; splits are small on CPU adapters.
fn parts_bytes(kernel_set: KernelSet) -> usize {
    match kernel_set {
        KernelSet::Gpu => 32 << 20,
        KernelSet::Cpu => 64 << 20,
    }
}

/// What depends on the KV cache's buffers.
pub(super) struct Plan {
    /// embedding and layers
    pub body: Vec<Dispatch>,
    /// KV commit, where the model takes part in speculation
    pub commit: kernels::Commit,
    /// (cos, sin) by position, one table a rope
    _angles: Vec<Buffer>,
    /// parts of split attention, and the rows it has room for
    _parts: Option<Words>,
    pub parts_rows: usize,
}

impl Forward {
    pub(super) async fn make_plan(&mut self, gpu: &Gpu) -> Result<Plan> {
        let (config, weights, s) = (&self.config, &self.weights, &self.scratch);
        let capacity = self.cache.capacity();
        let mut b =
            Builder { gpu, pipelines: &mut self.pipelines, kernel_set: self.kernel_set, norm: config.norm.kind };
        let mut angles = Vec::new();
        for rope in &config.ropes {
            angles.push(gpu.storage_from(DOING, bytemuck::cast_slice(&angle_table(rope, capacity))).await?);
        }
        let n_splits = capacity.div_ceil(split_keys(self.kernel_set)).max(1);
        let split_bytes = split_bytes(config, self.kernel_set, capacity);
        let parts_rows = parts_rows(config, self.kernel_set, capacity);
        let parts = match self.kernel_set == KernelSet::Cpu || n_splits > 1 {
            true => Some(Words::new(gpu, DOING, (parts_rows * split_bytes) as u64, self.kernel_set)?),
            false => None,
        };
        gpu.check_allocations(DOING).await?;
        let d = config.hidden_size;
        let d_pad = d.next_multiple_of(8);
        let ahead = kernels::scales_ahead(config, self.kernel_set);
        // The factor of the norm before layer `i`, or before the head, where it is applied ahead.
        let gamma_of = |i: usize| {
            let vectors = weights.layers.get(i).map_or(&weights.head_vectors, |layer| &layer.qkv_vectors);
            ahead.then_some(&*vectors.buffer)
        };
        let mut body = kernels::embed(
            &mut b,
            &weights.embedding,
            weights.positions.as_deref(),
            [d as f32, config.embedding_scale],
            [&s.tokens, &s.state, &s.x[0], &s.stats[0]],
            (gamma_of(0), &s.normed),
        )
        .await?;
        for (i, layer) in weights.layers.iter().enumerate() {
            let (kind, kv) = (&config.layers[i], &self.cache.layers[i]);
            let normed = |stats| Some((stats, d, config.norm.eps));
            let common = |matrix, vectors, x| Product {
                matrix,
                vectors,
                state: &s.state,
                x,
                norm: None,
                res: None,
                y: &s.qkv,
                y_stride: 0,
                n_out: 0,
                extra: None,
                epilogue: Epilogue::Store,
                last_row: false,
                is_scaled: false,
                normed: &s.normed,
                next_gamma: None,
                append: None,
            };
            // The input of a product with a norm, from the residual stream.
            let input = |of: usize| if ahead { &s.normed } else { &s.x[of] };
            let qkv_out = config.q_dim() + 2 * config.kv_dim();
            let angles = kind.rope.map(|r| (&*angles[r], config.ropes[r].rotary_dim));
            let append = Append {
                n_heads: config.n_heads,
                n_kv_heads: config.n_kv_heads,
                head_dim: config.head_dim,
                angles,
                q: s.q.binding(),
                k_cache: kv.k.binding(),
                v_cache: kv.v.binding(),
                kv: self.cache.dtype(),
            };
            let append = RowOrder::of_qkv(config, kind, self.kernel_set).map(|_| append);
            let apart = append.is_none();
            let qkv = Product {
                norm: normed(&*s.stats[0]),
                is_scaled: ahead,
                y_stride: qkv_out,
                n_out: qkv_out,
                epilogue: if apart { Epilogue::Store } else { Epilogue::Rope },
                append,
                ..common(&layer.qkv, &layer.qkv_vectors, input(0))
            };
            body.extend(kernels::product(&mut b, qkv).await?);
            if apart {
                let rope = Rope {
                    qkv: &s.qkv,
                    state: &s.state,
                    angles,
                    qk_gamma: layer.qk_gamma.as_deref(),
                    q: s.q.binding(),
                    k_cache: kv.k.binding(),
                    v_cache: kv.v.binding(),
                    kv: self.cache.dtype(),
                };
                body.push(kernels::rope(&mut b, config, rope).await?);
            }
            let attention = Attention {
                q: s.q.binding(),
                k_cache: kv.k.binding(),
                v_cache: kv.v.binding(),
                kv: self.cache.dtype(),
                state: &s.state,
                out: &s.attn,
                out_stride: config.q_dim().next_multiple_of(8),
                parts: parts.as_ref().map(|p| (p.binding(), n_splits as u32)),
            };
            body.extend(kernels::attention(&mut b, config, kind, attention).await?);

            // x[0] + attention -> x[1]
            let mlp_gamma = ahead.then_some(&*layer.mlp_up_vectors.buffer);
            let residual = |matrix, vectors, x, res, out: usize, next_gamma| {
                let half = s.half.as_ref();
                Product {
                    res: if half.is_some() { None } else { Some(res) },
                    y: half.map_or(&*s.x[out], |(t, _)| t),
                    y_stride: d_pad,
                    n_out: d,
                    extra: Some(half.map_or(&*s.stats[out], |(_, stats)| stats)),
                    epilogue: Epilogue::Residual,
                    next_gamma: if half.is_some() { None } else { next_gamma },
                    ..common(matrix, vectors, x)
                }
            };
            let out = residual(&layer.attn_out, &layer.attn_out_vectors, &*s.attn, &*s.x[0], 1, mlp_gamma);
            body.extend(kernels::product(&mut b, out).await?);
            if let (Some((t, ts)), Some(gamma)) = (&s.half, &layer.post_attn_gamma) {
                let buffers = [&**t, ts, &s.x[0], &s.x[1], &s.stats[1]];
                let next = (mlp_gamma, &*s.normed);
                body.push(kernels::norm_residual(&mut b, config, gamma, &s.state, buffers, next).await?);
            }
            // A parallel block's MLP reads what attention read.
            let from = if config.residual == Residual::Parallel { 0 } else { 1 };
            body.extend(
                kernels::product(
                    &mut b,
                    Product {
                        norm: normed(&*s.stats[from]),
                        is_scaled: ahead,
                        y: &s.hidden,
                        y_stride: config.intermediate_size.next_multiple_of(8),
                        n_out: config.intermediate_size,
                        epilogue: match config.mlp_gated {
                            true => Epilogue::Gated(config.activation),
                            false => Epilogue::Act(config.activation),
                        },
                        ..common(&layer.mlp_up, &layer.mlp_up_vectors, input(from))
                    },
                )
                .await?,
            );
            // x[1] + MLP -> x[0]
            let next_gamma = gamma_of(i + 1);
            let down = residual(&layer.mlp_down, &layer.mlp_down_vectors, &*s.hidden, &*s.x[1], 0, next_gamma);
            body.extend(kernels::product(&mut b, down).await?);
            if let (Some((t, ts)), Some(gamma)) = (&s.half, &layer.post_mlp_gamma) {
                let buffers = [&**t, ts, &s.x[1], &s.x[0], &s.stats[0]];
                let next = (next_gamma, &*s.normed);
                body.push(kernels::norm_residual(&mut b, config, gamma, &s.state, buffers, next).await?);
            }
        }
        let commit = match &self.commit {
            Some(of) => {
                let layers: Vec<_> = self.cache.layers.iter().map(|layer| [&layer.k, &layer.v]).collect();
                kernels::commit(&mut b, &layers, [self.cache.row_bytes(), MAX_NODES], &of.state, of.draft).await?
            }
            None => kernels::Commit::default(),
        };
        Ok(Plan { body, commit, _angles: angles, _parts: parts, parts_rows })
    }
}

/// Bytes of one row's parts of split attention.
fn split_bytes(config: &ModelConfig, kernel_set: KernelSet, capacity: usize) -> usize {
    let n_splits = capacity.div_ceil(split_keys(kernel_set)).max(1);
    config.n_heads * n_splits * (config.head_dim.next_multiple_of(4) + 4) * 4
}

/// Rows whose parts of split attention there is room for.
pub(super) fn parts_rows(config: &ModelConfig, kernel_set: KernelSet, capacity: usize) -> usize {
    (parts_bytes(kernel_set) / split_bytes(config, kernel_set, capacity)).clamp(1, MAX_INVARIANT_ROWS)
}

/// (cos, sin) of every angle, `[positions, rotary_dim / 2]`, computed in f64.
fn angle_table(rope: &config::Rope, positions: usize) -> Vec<[f32; 2]> {
    let angle = |p: usize, f: &f32| p as f64 * f64::from(*f);
    (0..positions)
        .flat_map(|p| rope.inv_freq.iter().map(move |f| [angle(p, f).cos() as f32, angle(p, f).sin() as f32]))
        .collect()
}
