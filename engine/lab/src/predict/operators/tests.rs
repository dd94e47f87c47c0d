//! Operators against counts made by hand and by the runtime.

use super::*;
use crate::predict::models::model;

fn numerics() -> Numerics {
    Numerics {
        weights: Precision::Bf16,
        activation_bytes: 2.0,
        kv_bytes: 2.0,
        tensor_parallel: 1,
        lora: None,
        split_keys: 256,
        score_flops: 0.0,
        key_tiles: None,
    }
}

fn config(name: &str) -> ModelConfig {
    model(name).unwrap().unwrap().config().unwrap()
}

fn sum(operators: &[Operator], of: impl Fn(&Operator) -> f64) -> f64 {
    operators.iter().map(|o| o.count as f64 * of(o)).sum()
}

/// Llama 3.1 8B by hand: a step streams all weights but the embedding, 2 (8,030,261,248 - 128,256 x 4096) bytes, and
/// one row of it; it reads 2 x 1024 x 32 x 2 bytes of the cache a key and appends as much.
#[test]
fn a_step_reads_every_weight_but_the_embedding_once() {
    let config = config("llama-3.1-8b");
    let step = operators(&config, &numerics(), &Pass::step(1280, 1));
    let weights = 2.0 * (8_030_261_248.0 - 128_256.0 * 4096.0) + 2.0 * 4096.0;
    assert_eq!(sum(&step, |o| o.weight_bytes), weights);
    assert_eq!(sum(&step, |o| o.kv_bytes), 131_072.0 * (1280.0 + 1.0));
    // Two a weight of the matrices, and 4 x 4096 x 32 a key.
    let matrices = 8_030_261_248.0 - 128_256.0 * 4096.0 - 65.0 * 4096.0;
    assert_eq!(sum(&step, |o| o.flops), 2.0 * matrices + 4.0 * 4096.0 * 32.0 * 1280.0);
    // Four sequences: the same weights (and four rows of the embedding), four caches.
    let four = operators(&config, &numerics(), &Pass::step(1280, 4));
    assert_eq!(sum(&four, |o| o.weight_bytes), weights + 3.0 * 2.0 * 4096.0);
    assert_eq!(sum(&four, |o| o.kv_bytes), 4.0 * 131_072.0 * 1281.0);
}

/// By hand: row i of a prompt sees i + 1 keys, so 4 rows see 10; in windows of 2 they see 1 + 2 + 2 + 2. It would
/// catch all rows taken to see all keys, which counts a prompt's attention twice.
#[test]
fn a_prompt_is_causal_and_windows_end() {
    let full = config("llama-3.2-1b");
    let mut windowed = full.clone();
    windowed.layers.iter_mut().for_each(|layer| layer.window = Some(2));
    let attention = |config: &ModelConfig, base| {
        let pass = Pass { rows: 4, base, batch: 1, head_rows: 0 };
        operators(config, &numerics(), &pass).into_iter().find(|o| o.name == "attention").unwrap()
    };
    assert_eq!(attention(&full, 0).flops, 4.0 * 10.0 * 2048.0);
    assert_eq!(attention(&windowed, 0).flops, 4.0 * 7.0 * 2048.0);
    // From position 100 on, four rows see 101 + .. + 104 keys, or 2 each; of the cache 104 are read, or 5.
    assert_eq!(attention(&full, 100).flops, 4.0 * 410.0 * 2048.0);
    assert_eq!(attention(&windowed, 100).flops, 4.0 * 8.0 * 2048.0);
    assert_eq!(attention(&full, 100).kv_bytes, 104.0 * 2.0 * 512.0 * 2.0);
    assert_eq!(attention(&windowed, 100).kv_bytes, 5.0 * 2.0 * 512.0 * 2.0);
    // Chunks of a prompt compute what the whole does.
    let flops = |chunks: &[(usize, usize)]| -> f64 {
        let pass = |&(base, rows)| Pass { rows, base, batch: 1, head_rows: 0 };
        chunks.iter().map(|at| sum(&operators(&full, &numerics(), &pass(at)), |o| o.flops)).sum()
    };
    assert_eq!(flops(&[(0, 64)]), flops(&[(0, 32), (32, 20), (52, 12)]));
}

/// Every thread that the kernel starts and does not end at once, counted by its own rule. Taking a prompt's scores
/// for what its threads compute fails this: a prompt of 5 tokens keeps whole threads busy.
#[test]
fn threads_are_counted_as_the_kernel_starts_them() {
    let (keys, queries): (usize, usize) = (16, 8);
    let sizes: [(usize, usize, usize, usize); 5] =
        [(5, 0, 3, 1), (64, 64, 3, 1), (7, 30, 4, 2), (40, 200, 8, 8), (2, 15, 9, 3)];
    for (rows, base, heads, kv_heads) in sizes {
        let (group, end) = (heads / kv_heads, base + rows);
        let mut threads = 0;
        for tile in 0..end.div_ceil(keys) {
            for first in (0..rows * group).step_by(queries) {
                let last_row = (first + queries - 1).min(rows * group - 1) / group;
                threads += usize::from(tile * keys <= base + last_row);
            }
        }
        let pass = Pass { rows, base, batch: 1, head_rows: 1 };
        let scores = KeyTiles { keys, queries }.scores(&pass, end, heads, kv_heads);
        assert_eq!(scores, (threads * kv_heads * keys * queries) as u64, "{rows} rows from {base}");
    }
    let step = Pass::step(100, 1);
    assert_eq!(KeyTiles { keys, queries }.scores(&step, 100, 3, 1), 7 * 16 * 3);
    let seen = KeyTiles { keys, queries }.scores(&step, 20, 3, 1);
    assert_eq!(seen, 2 * 16 * 3, "of a window only the tiles that it touches");
}

/// Of two devices each has half of the matrices; the sums of 3 rows go round a ring of 2: each sends
/// 2 x 1/2 x 3 x 4096 values twice a layer and once for the embedding.
#[test]
fn devices_share_the_work_and_exchange_sums() {
    let config = config("llama-3.1-8b");
    let two = Numerics { tensor_parallel: 2, ..numerics() };
    let pass = Pass { rows: 3, base: 0, batch: 1, head_rows: 1 };
    let (whole, half) = (operators(&config, &numerics(), &pass), operators(&config, &two, &pass));
    assert_eq!(sum(&whole, |o| o.flops), 2.0 * sum(&half, |o| o.flops));
    assert_eq!(sum(&whole, |o| o.kv_bytes), 2.0 * sum(&half, |o| o.kv_bytes));
    let reduce = half.iter().find(|o| o.name == "all-reduce").unwrap();
    assert_eq!((reduce.count, reduce.link_bytes), (65, 3.0 * 4096.0 * 2.0));
    assert!(!whole.iter().any(|o| o.class == Class::Link));
    let bytes = weights_bytes(&config, &numerics());
    assert!((weights_bytes(&config, &two) / bytes - 0.5).abs() < 1e-4);
    // More devices than KV heads: each keeps one head.
    let sixteen = Numerics { tensor_parallel: 16, ..numerics() };
    let kv = sum(&operators(&config, &sixteen, &pass), |o| o.kv_bytes);
    assert_eq!(kv, sum(&whole, |o| o.kv_bytes) / 8.0);
}

/// Rank 8 beside q (d to d), k, v (d to d/4), out, gate, up and down of Llama 3.1 8B: by hand 8 x (sum of in + out).
#[test]
fn adapters_cost_their_rank_unless_merged() {
    let config = config("llama-3.1-8b");
    let with = |merged| Numerics { lora: Some(Lora { rank: 8, merged }), ..numerics() };
    let (d, kv, ff) = (4096.0, 1024.0, 14336.0);
    let values = 8.0 * ((d + d) + 2.0 * (d + kv) + (d + d) + 2.0 * (d + ff) + (ff + d)) * 32.0;
    let step = Pass::step(100, 1);
    let flops = |numerics: &Numerics| sum(&operators(&config, numerics, &step), |o| o.flops);
    assert_eq!(flops(&with(false)) - flops(&numerics()), 2.0 * values);
    assert_eq!(weights_bytes(&config, &with(false)) - weights_bytes(&config, &numerics()), 2.0 * values);
    assert_eq!(operators(&config, &with(true), &step), operators(&config, &numerics(), &step));
}

/// As this engine's passes are: five dispatches a layer and three around them; the join beyond 256 keys; Gemma's norms of
/// heads, for which rotation is a dispatch of its own, and its two norms more.
#[test]
fn dispatches_are_those_of_the_engine() {
    let count = |name: &str, keys| -> usize {
        operators(&config(name), &numerics(), &Pass::step(keys, 1)).iter().map(|o| o.count * o.dispatches).sum()
    };
    assert_eq!(count("llama-3.2-1b", 100), 5 * 16 + 3);
    assert_eq!(count("llama-3.2-1b", 300), 6 * 16 + 3);
    assert_eq!(count("gemma-3-270m", 100), 8 * 18 + 3);
    assert_eq!(count("pythia-70m", 100), 5 * 6 + 3);
}
