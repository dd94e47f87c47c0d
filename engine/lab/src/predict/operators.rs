//! The operators of one pass through a model: what each multiplies and what each reads and writes.
//!
//! They are this engine's dispatches (ARCHITECTURE.md, "A forward pass"): norms are applied where they are read, the KV
//! cache is appended to by the product for q, k and v, or else by the rotation, attention reads each key once a pass. Other
//! engines split them in other ways and move more activations, hardly more weights.

use serde::{Deserialize, Serialize};

use understory_model::config::{ModelConfig, NormKind};
use understory_protocol::{KernelSet, Lora, Precision};

/// Sizes that decide about bytes, and how the model is divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numerics {
    pub weights: Precision,
    /// bytes of an activation
    pub activation_bytes: f64,
    /// bytes of an element of the KV cache
    pub kv_bytes: f64,
    /// devices that each product is divided among (Shoeybi et al. 2019, arXiv 1909.08053)
    pub tensor_parallel: usize,
    pub lora: Option<Lora>,
    /// keys beyond which attention takes a second dispatch
    pub split_keys: usize,
    /// FLOP that the softmax of a score takes the time of
    pub score_flops: f64,
    pub key_tiles: Option<KeyTiles>,
}

/// Attention by threads that each take `keys` keys at absolute positions and up to `queries` queries of one KV head, and as
/// long as a full one does; those whose keys no query of theirs sees end at once. A single row has a thread a head and
/// tile. (This engine's kernels for CPU adapters.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTiles {
    pub keys: usize,
    pub queries: usize,
}

impl KeyTiles {
    /// Scores of full threads for one sequence of a pass whose rows touch `touched` keys together.
    fn scores(self, pass: &Pass, touched: usize, heads: usize, kv_heads: usize) -> u64 {
        let end = pass.base + pass.rows;
        let tiles = end.div_ceil(self.keys) - (end - touched) / self.keys;
        if pass.rows == 1 {
            return (tiles * self.keys * heads) as u64;
        }
        let group = heads / kv_heads.max(1);
        let threads_of = |tile: usize| {
            let blind_rows = (tile * self.keys).saturating_sub(pass.base);
            ((pass.rows * group).div_ceil(self.queries) - blind_rows * group / self.queries) as u64
        };
        let last = end.div_ceil(self.keys);
        let threads: u64 = (last - tiles..last).map(threads_of).sum();
        threads * (kv_heads * self.keys * self.queries) as u64
    }
}

/// What kind of work an operator is: efficiencies go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Product,
    Attention,
    /// reads and writes only
    Other,
    /// sums or parts exchanged between devices
    Link,
}

/// A pass over rows of tokens: a chunk of a prompt, a step, or a tree of guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// rows of each sequence
    pub rows: usize,
    /// keys of each sequence before them
    pub base: usize,
    /// sequences
    pub batch: usize,
    /// rows of each sequence whose logits are wanted
    pub head_rows: usize,
}

impl Pass {
    /// One decode step that sees `keys` keys, its own among them.
    pub fn step(keys: usize, batch: usize) -> Self {
        Self { rows: 1, base: keys.saturating_sub(1), batch, head_rows: 1 }
    }
}

/// Work of one kind, on one device. Sizes are of one of `count` equal ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    pub name: &'static str,
    pub class: Class,
    pub count: usize,
    pub dispatches: usize,
    /// a multiply-add counts two
    pub flops: f64,
    /// of attention, which take time beside those: the softmax's, and those of keys that no row sees
    pub extra_flops: f64,
    pub weight_bytes: f64,
    /// KV cache read or appended to
    pub kv_bytes: f64,
    pub activation_bytes: f64,
    /// bytes that leave the device
    pub link_bytes: f64,
}

/// Columns that one of the devices computes.
struct Shard {
    q: usize,
    kv: usize,
    hidden: usize,
    vocab: usize,
}

impl Shard {
    fn new(config: &ModelConfig, parts: usize) -> Self {
        Self {
            q: config.q_dim() / parts,
            // A head that there are fewer of than devices is on several of them.
            kv: config.n_kv_heads.div_ceil(parts) * config.head_dim,
            hidden: config.intermediate_size.div_ceil(parts),
            vocab: config.vocab_size.div_ceil(parts),
        }
    }
}

/// Vectors of a norm of the residual stream.
fn norm_values(config: &ModelConfig) -> usize {
    match config.norm.kind {
        NormKind::Rms => config.hidden_size,
        NormKind::Layer => 2 * config.hidden_size,
    }
}

/// Elements of the matrices and of the vectors (norms, biases) of one layer, on one of the devices.
fn layer_values(config: &ModelConfig, shard: &Shard) -> (usize, usize) {
    let (d, qkv) = (config.hidden_size, shard.q + 2 * shard.kv);
    let ups = if config.mlp_gated { 2 } else { 1 };
    let matrices = d * qkv + shard.q * d + (ups + 1) * d * shard.hidden;
    let norms = norm_values(config) * if config.post_norms { 4 } else { 2 };
    let of = |flag: bool, values: usize| if flag { values } else { 0 };
    let vectors = norms
        + of(config.qk_norm, 2 * config.head_dim)
        + of(config.qkv_bias, qkv)
        + of(config.attn_out_bias, d)
        + of(config.mlp_bias, ups * shard.hidden + d);
    (matrices, vectors)
}

/// All weights, as a repository counts them: a tied lm_head is the embedding.
pub fn parameters(config: &ModelConfig) -> u64 {
    let (matrices, vectors) = values(config, 1);
    matrices + vectors
}

/// In 64 bits: a browser's `usize` has 32, and models have more weights than that.
fn values(config: &ModelConfig, parts: usize) -> (u64, u64) {
    let shard = Shard::new(config, parts);
    let (matrices, vectors) = layer_values(config, &shard);
    let tables = if config.tie_word_embeddings { 1 } else { 2 };
    let positions = if config.learned_positions { config.max_position_embeddings } else { 0 };
    let of_head = if config.lm_head_bias { shard.vocab } else { 0 };
    let n_layers = config.n_layers() as u64;
    let rows = (tables * shard.vocab + positions) as u64;
    (
        n_layers * matrices as u64 + rows * config.hidden_size as u64,
        n_layers * vectors as u64 + (norm_values(config) + of_head) as u64,
    )
}

/// Bytes of the weights on one device, adapters that are not merged included.
pub fn weights_bytes(config: &ModelConfig, numerics: &Numerics) -> f64 {
    let (matrices, vectors) = values(config, numerics.tensor_parallel);
    let shard = Shard::new(config, numerics.tensor_parallel);
    let adapters: usize = match numerics.lora {
        Some(Lora { rank, merged: false }) => products(config, &shard).iter().map(|p| p.adapter_values(rank)).sum(),
        _ => 0,
    };
    matrices as f64 * numerics.weights.weight_bytes()
        + (vectors + (config.n_layers() * adapters) as u64) as f64 * numerics.activation_bytes
}

/// A product of a layer: `parts` matrices that share their input.
struct Product {
    name: &'static str,
    n_in: usize,
    /// columns of each matrix
    outs: Vec<usize>,
    /// columns written; fewer than computed where two are multiplied on the way
    written: usize,
    bias: bool,
    normed: bool,
    residual: bool,
}

impl Product {
    fn n_out(&self) -> usize {
        self.outs.iter().sum()
    }
    fn adapter_values(&self, rank: usize) -> usize {
        rank * (self.outs.len() * self.n_in + self.n_out())
    }
}

fn products(config: &ModelConfig, shard: &Shard) -> [Product; 4] {
    let d = config.hidden_size;
    let up = if config.mlp_gated { vec![shard.hidden; 2] } else { vec![shard.hidden] };
    let product = |name, n_in, outs: Vec<usize>, bias| {
        let written = outs.iter().sum();
        Product { name, n_in, outs, written, bias, normed: false, residual: false }
    };
    [
        Product { normed: true, ..product("q, k, v", d, vec![shard.q, shard.kv, shard.kv], config.qkv_bias) },
        Product { residual: true, ..product("attention out", shard.q, vec![d], config.attn_out_bias) },
        Product {
            normed: true,
            written: shard.hidden,
            ..product(if config.mlp_gated { "gate, up" } else { "up" }, d, up, config.mlp_bias)
        },
        Product { residual: true, ..product("down", shard.hidden, vec![d], config.mlp_bias) },
    ]
}

/// The operators of `pass` on one device, in the order of the pass, equal ones of all layers together.
pub fn operators(config: &ModelConfig, numerics: &Numerics, pass: &Pass) -> Vec<Operator> {
    let &Numerics {
        weights,
        activation_bytes: a,
        kv_bytes,
        tensor_parallel: parts,
        lora,
        split_keys,
        score_flops,
        key_tiles,
    } = numerics;
    let shard = Shard::new(config, parts);
    let (d, n_layers) = (config.hidden_size, config.n_layers());
    let batch = pass.batch as f64;
    let rows = pass.rows as f64 * batch;
    let plain = |name, count, elements: f64| Operator {
        name,
        class: Class::Other,
        count,
        dispatches: 1,
        flops: 0.0,
        extra_flops: 0.0,
        weight_bytes: 0.0,
        kv_bytes: 0.0,
        activation_bytes: elements * a,
        link_bytes: 0.0,
    };
    let all_reduce = |count| Operator {
        class: Class::Link,
        dispatches: 0,
        // A ring: each part goes round twice.
        link_bytes: 2.0 * (parts - 1) as f64 / parts as f64 * rows * d as f64 * a,
        ..plain("all-reduce", count, 0.0)
    };
    let matrix = weights.weight_bytes();
    let positions = if config.learned_positions { 2.0 } else { 1.0 };
    let mut all =
        vec![Operator { weight_bytes: positions * rows * d as f64 * matrix, ..plain("embedding", 1, rows * d as f64) }];
    let of = |product: &Product| {
        let (n_in, n_out) = (product.n_in as f64, product.n_out() as f64);
        let vectors =
            if product.bias { n_out } else { 0.0 } + if product.normed { norm_values(config) as f64 } else { 0.0 };
        let moved = n_in + product.written as f64 + if product.residual { d as f64 } else { 0.0 };
        Operator {
            class: Class::Product,
            flops: 2.0 * rows * n_in * n_out,
            weight_bytes: n_in * n_out * matrix + vectors * a,
            ..plain(product.name, n_layers, rows * moved)
        }
    };
    let adapter = |product: &Product, rank: usize| {
        let values = product.adapter_values(rank) as f64;
        let inner = (rank * product.outs.len()) as f64;
        Operator {
            class: Class::Product,
            // Down to the rank, up again and onto the output.
            dispatches: 2,
            flops: 2.0 * rows * values,
            weight_bytes: values * a,
            ..plain("adapters", n_layers, rows * (product.n_in as f64 + 2.0 * inner + 2.0 * product.n_out() as f64))
        }
    };
    let kernels = if key_tiles.is_some() { KernelSet::Cpu } else { KernelSet::Gpu };
    let appends = config.layers.iter().all(|layer| config.appends_in_product(layer, kernels));
    let [mut qkv, out, up, down] = products(config, &shard);
    if appends {
        // K and V go to the cache at once.
        qkv.written = shard.q;
    }
    let with_adapter = |product: &Product, all: &mut Vec<Operator>| {
        all.push(of(product));
        if let Some(Lora { rank, merged: false }) = lora {
            all.push(adapter(product, rank));
        }
    };
    with_adapter(&qkv, &mut all);
    let kv_row = 2.0 * shard.kv as f64;
    let moved_apart = if appends { 0.0 } else { 2.0 * shard.q as f64 + kv_row };
    all.push(Operator {
        dispatches: usize::from(!appends),
        kv_bytes: rows * kv_row * kv_bytes,
        ..plain("rotate, append", n_layers, rows * moved_apart)
    });
    for (window, count) in windows(config) {
        let seen = |base: usize| window.map_or(base + 1, |window| window.min(base + 1));
        let keys: u64 = (pass.base..pass.base + pass.rows).map(|base| seen(base) as u64).sum();
        let end = pass.base + pass.rows;
        let (heads, kv_heads) = (shard.q / config.head_dim, shard.kv / config.head_dim);
        // q . k and the weighted sum of v.
        let flops = 4.0 * keys as f64 * batch * shard.q as f64;
        let touched = window.map_or(end, |window| end.min(window + pass.rows - 1));
        let scores = match key_tiles {
            Some(tiles) => tiles.scores(pass, touched, heads, kv_heads),
            None => keys * heads as u64,
        };
        let scores = scores as f64 * batch;
        all.push(Operator {
            class: Class::Attention,
            dispatches: if touched > split_keys { 2 } else { 1 },
            flops,
            extra_flops: scores * (score_flops + 4.0 * config.head_dim as f64) - flops,
            kv_bytes: touched as f64 * batch * kv_row * kv_bytes,
            ..plain("attention", count, rows * 2.0 * shard.q as f64)
        });
    }
    with_adapter(&out, &mut all);
    with_adapter(&up, &mut all);
    with_adapter(&down, &mut all);
    if config.post_norms {
        all.push(Operator { weight_bytes: d as f64 * a, ..plain("norm after", 2 * n_layers, rows * 3.0 * d as f64) });
    }
    if parts > 1 {
        all.push(all_reduce(2 * n_layers + 1));
    }
    let head_rows = pass.head_rows as f64 * batch;
    if head_rows > 0.0 {
        let (n_in, n_out) = (d as f64, shard.vocab as f64);
        all.push(Operator {
            class: Class::Product,
            flops: 2.0 * head_rows * n_in * n_out,
            weight_bytes: n_in * n_out * matrix + norm_values(config) as f64 * a,
            ..plain("lm_head", 1, head_rows * (n_in + n_out))
        });
        if parts > 1 {
            let others = (parts - 1) as f64 * n_out;
            all.push(Operator {
                class: Class::Link,
                dispatches: 0,
                link_bytes: head_rows * others * a,
                ..plain("all-gather", 1, 0.0)
            });
        }
        all.push(plain("choice", 1, head_rows * n_out * parts as f64));
    }
    all
}

/// Layers by their window.
fn windows(config: &ModelConfig) -> Vec<(Option<usize>, usize)> {
    let mut groups: Vec<(Option<usize>, usize)> = Vec::new();
    for layer in &config.layers {
        match groups.iter_mut().find(|(window, _)| *window == layer.window) {
            Some((_, count)) => *count += 1,
            None => groups.push((layer.window, 1)),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
