//! The kernels around the products: embedding, rotation, attention, Gemma's norm, the head and the choice of a token.
//! Of one row, as in decoding, and of a few, as in verification.

use understory_model::config::NormKind;
use understory_protocol::{KvDtype, Result, Sampling};

use super::kernels::{AROUND_ROWS, BEYOND_CACHES, Bench, Cost, Pass, ROUND_ROWS, all};
use super::operands::hashes;
use crate::device_weights::RowOrder;
use crate::gpu::{Dispatch, Words};
use crate::kernels::{self, Attention, Rope, split_keys};

const CONTEXTS: [usize; 6] = [128, 512, 1024, 2048, 8192, 32768];
const TOP_P: Sampling =
    Sampling { temperature: 0.8, top_k: 0, top_p: 0.9, min_p: 0.0, repetition_penalty: 1.0, seed: 1 };
const TOP_K: Sampling = Sampling { top_k: 40, top_p: 1.0, ..TOP_P };
/// Of Llama 3, and of Gemma 3.
const VOCABULARIES: [usize; 2] = [128_256, 262_144];

/// Logits spread as those of models: a bell of width 3, and some likely tokens above it.
fn made_up_logits(vocab: usize) -> Vec<f32> {
    let uniform: Vec<f32> = hashes().take(4 * vocab).map(|h| h as f32 / u32::MAX as f32 - 0.5).collect();
    let bell = |four: &[f32]| 3.0 * 3f32.sqrt() * four.iter().sum::<f32>();
    let mut logits: Vec<f32> = uniform.chunks(4).map(bell).collect();
    for (i, likely) in [17.0, 16.5, 16.0, 15.0, 14.5, 14.0, 13.5, 13.0].into_iter().enumerate() {
        logits[(i + 1) * vocab / 9] = likely;
    }
    logits
}

fn bytes_of_f32(values: usize) -> Cost {
    Cost { bytes: 4 * values as u64, flops: None }
}

fn refs(dispatches: &[Dispatch]) -> Vec<&Dispatch> {
    dispatches.iter().collect()
}

fn is_reduce(dispatch: &Dispatch) -> bool {
    dispatch.variants[0].as_ref().is_some_and(|(pipeline, _)| pipeline.shader.kernel.starts_with("attention_reduce"))
}

impl Bench<'_> {
    fn contexts(&self) -> impl Iterator<Item = usize> {
        let most = self.config.max_position_embeddings;
        CONTEXTS.into_iter().filter(move |&context| context <= most)
    }

    fn splits(&self, context: usize) -> u32 {
        context.div_ceil(split_keys(self.kernel_set)) as u32
    }

    fn rotates_apart(&self) -> bool {
        RowOrder::of_qkv(self.config, &self.config.layers[0], self.kernel_set).is_none()
    }

    /// Measurements that this file makes.
    pub fn n_around(&self) -> usize {
        let attention: usize = self.contexts().map(|c| if self.splits(c) > 1 { 2 } else { 1 }).sum();
        let around = 6 + usize::from(self.rotates_apart());
        AROUND_ROWS.len() * (attention + around) + 2 * VOCABULARIES.len()
    }

    /// What kernels write and attention reads.
    async fn words(&mut self, values: usize) -> Result<Words> {
        self.operands.rows(self.kernel_set, values).await
    }

    /// Of a KV cache.
    async fn kv_words(&mut self, values: usize) -> Result<Words> {
        self.operands.cache(self.kernel_set, values).await
    }

    pub async fn embed(&mut self) -> Result<()> {
        let (d, vocab, norm) = (self.config.hidden_size, self.config.vocab_size, self.config.norm.kind);
        let form = self.table;
        let table = self.operands.matrix(self.kernel_set, form, vocab.div_ceil(4), d).await?;
        let tokens = self.operands.words(&[vocab as u32 / 2; ROUND_ROWS]).await?;
        let x = self.operands.floats(ROUND_ROWS * d.next_multiple_of(8)).await?;
        let stats = self.operands.floats(ROUND_ROWS * 2 * d.div_ceil(4)).await?;
        let state = self.state.clone();
        let buffers = [&tokens, &state, &x, &stats];
        let (gamma, scaled) = (
            self.operands.floats(d.next_multiple_of(8)).await?,
            self.operands.floats(ROUND_ROWS * d.next_multiple_of(8)).await?,
        );
        let ahead = kernels::scales_ahead(self.config, self.kernel_set);
        let next = (ahead.then_some(&gamma), &scaled);
        let dispatches = kernels::embed(&mut self.builder(norm), &table, None, [d as f32, 1.0], buffers, next).await?;
        for rows in AROUND_ROWS {
            let mut cost = bytes_of_f32(rows * (d + 2 * d.div_ceil(4) + if ahead { 2 * d } else { 0 }));
            cost.bytes += rows as u64 * form.row_bytes(d);
            self.row(("embed", format!("{vocab} x {d}")), &refs(&dispatches), 1, Pass::rows(rows), cost).await?;
        }
        Ok(())
    }

    /// Where it is a kernel of its own.
    pub async fn rope(&mut self) -> Result<()> {
        let config = self.config;
        if !self.rotates_apart() {
            return Ok(());
        }
        let head_stride = config.head_dim.next_multiple_of(4);
        let row = config.q_dim() + 2 * config.kv_dim();
        let qkv = self.operands.floats(ROUND_ROWS * row).await?;
        let q = self.words(ROUND_ROWS * config.n_heads * head_stride).await?;
        let k_cache = self.kv_words(ROUND_ROWS * config.n_kv_heads * head_stride).await?;
        let v_cache = self.kv_words(ROUND_ROWS * config.n_kv_heads * head_stride).await?;
        let rotary_dim = config.ropes.first().map(|rope| rope.rotary_dim);
        let angles = self.operands.floats(ROUND_ROWS * rotary_dim.unwrap_or(0)).await?;
        let gamma = self.operands.floats(2 * config.head_dim).await?;
        let state = self.state.clone();
        let rope = Rope {
            qkv: &qkv,
            state: &state,
            angles: rotary_dim.map(|dim| (&angles, dim)),
            qk_gamma: config.qk_norm.then_some(&gamma),
            q: q.binding(),
            k_cache: k_cache.binding(),
            v_cache: v_cache.binding(),
            kv: KvDtype::of(self.kernel_set),
        };
        let dispatch = kernels::rope(&mut self.builder(config.norm.kind), config, rope).await?;
        let shape = format!("{} + 2 x {} heads of {}", config.n_heads, config.n_kv_heads, config.head_dim);
        for rows in AROUND_ROWS {
            let cost = bytes_of_f32(2 * rows * row);
            self.row(("rope", shape.clone()), &[&dispatch], 1, Pass::rows(rows), cost).await?;
        }
        Ok(())
    }

    /// Over contexts, with a KV cache a layer; where it is split, the reduction also alone.
    pub async fn attention(&mut self) -> Result<()> {
        let config = self.config;
        let head_stride = config.head_dim.next_multiple_of(4);
        let most = self.contexts().max().unwrap_or(1);
        let kv = KvDtype::of(self.kernel_set);
        let cache_row = config.n_kv_heads * head_stride;
        let rows = ROUND_ROWS;
        let q = self.words(rows * config.n_heads * head_stride).await?;
        let out = self.operands.floats(rows * config.q_dim().next_multiple_of(8)).await?;
        let n_splits = self.splits(most);
        let part_values = config.n_heads * (head_stride + 4);
        let parts = self.words(rows * part_values * n_splits as usize).await?;
        let state = self.state.clone();
        let mut made: Vec<Vec<Dispatch>> = Vec::new();
        let mut caches = Vec::new();
        let cache_bytes = |context: usize| (2 * context * cache_row * kv.bytes()) as u64;
        // Layers whose caches together no cache of the device holds. An emulator's attention takes long enough without.
        let beyond = if self.gpu.report().software { BEYOND_CACHES / 64 } else { BEYOND_CACHES };
        let layers_beyond = |context| (beyond.div_ceil(cache_bytes(context)) as usize).min(self.layers);
        let of_contexts: Vec<_> = self.contexts().map(|context| (context, layers_beyond(context))).collect();
        let most_layers = of_contexts.iter().map(|&(_, layers)| layers).max().unwrap_or(0);
        for (i, layer) in config.layers[..most_layers].iter().enumerate() {
            // The longest context that goes through this layer.
            let most = of_contexts.iter().filter(|&&(_, layers)| i < layers).map(|&(context, _)| context).max();
            let values = most.unwrap_or(1) * cache_row;
            let cache = [self.kv_words(values).await?, self.kv_words(values).await?];
            let attention = Attention {
                q: q.binding(),
                k_cache: cache[0].binding(),
                v_cache: cache[1].binding(),
                kv,
                state: &state,
                out: &out,
                out_stride: config.q_dim(),
                parts: (n_splits > 1).then(|| (parts.binding(), n_splits)),
            };
            made.push(kernels::attention(&mut self.builder(config.norm.kind), config, layer, attention).await?);
            // On the device's account for as long as it is measured.
            caches.push(cache);
        }
        for ((context, layers), rows) in of_contexts.into_iter().flat_map(|of| AROUND_ROWS.map(|rows| (of, rows))) {
            let splits = self.splits(context);
            let pass = Pass { rows, base: context - rows, splits };
            let name =
                if splits > 1 { format!("context {context}, {splits} splits") } else { format!("context {context}") };
            let mut cost = bytes_of_f32(2 * rows * config.q_dim());
            cost.bytes += cache_bytes(context);
            cost.flops = Some(4 * (rows * context * config.q_dim()) as u64);
            let dispatches: Vec<_> = made[..layers].iter().flatten().collect();
            self.row(("attention", name.clone()), &dispatches, layers, pass, cost).await?;
            if splits > 1 {
                let reduce: Vec<_> = dispatches.into_iter().filter(|d| is_reduce(d)).collect();
                let cost = bytes_of_f32(rows * (part_values * splits as usize + config.q_dim()));
                self.row(("attention_reduce", name), &reduce, layers, pass, cost).await?;
            }
        }
        Ok(())
    }

    pub async fn norm_residual(&mut self) -> Result<()> {
        let config = self.config;
        let d = config.hidden_size;
        let gamma = self.operands.floats(d.next_multiple_of(8)).await?;
        let rows_of = ROUND_ROWS * d.next_multiple_of(8);
        let (t, x) = (self.operands.floats(rows_of).await?, self.operands.floats(rows_of).await?);
        let y = self.operands.floats(rows_of).await?;
        let stats = self.operands.floats(ROUND_ROWS * 2 * d.div_ceil(4)).await?;
        let out_stats = self.operands.floats(ROUND_ROWS * 2 * d.div_ceil(4)).await?;
        let state = self.state.clone();
        // Only models with RMS norms have it.
        let ahead = kernels::scales_ahead(config, self.kernel_set);
        let scaled = self.operands.floats(ROUND_ROWS * d.next_multiple_of(8)).await?;
        let mut b = self.builder(NormKind::Rms);
        let (buffers, next) = ([&t, &stats, &x, &y, &out_stats], (ahead.then_some(&gamma), &scaled));
        let dispatch = kernels::norm_residual(&mut b, config, &gamma, &state, buffers, next).await?;
        for rows in AROUND_ROWS {
            let cost = bytes_of_f32(rows * (4 * d + 4 * d.div_ceil(4) + if ahead { 2 * d } else { 0 }));
            self.row(("norm_residual", format!("{d}")), &[&dispatch], 1, Pass::rows(rows), cost).await?;
        }
        Ok(())
    }

    /// Of the last row, as in decoding, and of every row.
    pub async fn head(&mut self) -> Result<()> {
        for rows in AROUND_ROWS {
            let spec = self.head.clone().with_last_row(rows == 1);
            let made = self.made(&spec, 1, rows).await?;
            self.row(("matmul", spec.shape()), &all(&made), 1, Pass::rows(rows), spec.cost(rows)).await?;
        }
        Ok(())
    }

    /// At the model's vocabulary, and sampled at larger ones.
    pub async fn sample(&mut self) -> Result<()> {
        let greedy = Sampling::default();
        let own = self.config.vocab_size;
        for rows in AROUND_ROWS {
            self.sample_of(own, rows, &[("greedy", greedy), ("top-p 0.9", TOP_P), ("top-k 40", TOP_K)]).await?;
        }
        for vocab in VOCABULARIES {
            self.sample_of(vocab, 1, &[("top-p 0.9", TOP_P), ("top-k 40", TOP_K)]).await?;
        }
        Ok(())
    }

    async fn sample_of(&mut self, vocab: usize, rows: usize, ways: &[(&str, Sampling)]) -> Result<()> {
        let n_blocks = vocab.div_ceil(4);
        let logits = made_up_logits(vocab);
        let largest = |(b, block): (usize, &[f32])| {
            let (i, l) = block.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap_or((0, &0.0));
            [l.to_bits(), (4 * b + i) as u32]
        };
        let block_max: Vec<u32> = logits.chunks(4).enumerate().flat_map(largest).collect();
        let logits: Vec<u32> = logits.iter().map(|l| l.to_bits()).collect();
        let logits = self.operands.words(&logits.repeat(rows)).await?;
        let block_max = self.operands.words(&block_max.repeat(rows)).await?;
        let chosen = self.operands.words(&vec![0; rows]).await?;
        let seen = self.operands.words(&vec![0; vocab.div_ceil(32)]).await?;
        let state = self.state.clone();
        // The choice at a row of a tree: it leaves the state, where one after another would come to the text's end.
        let buffers = [&logits, &block_max, &state, &chosen, &seen];
        let sampler = kernels::row_sampler(&mut self.builder(self.config.norm.kind), vocab, rows, buffers).await?;
        for (name, sampling) in ways {
            sampler.prepare(self.gpu, sampling);
            let shape = format!("{name}, {vocab} tokens");
            let dispatches: Vec<_> = sampler.choice(sampling).collect();
            let values = if sampling.temperature == 0.0 { 2 * n_blocks } else { vocab };
            self.row(("sample", shape), &dispatches, 1, Pass::rows(rows), bytes_of_f32(rows * values)).await?;
        }
        Ok(())
    }
}
