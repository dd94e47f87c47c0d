//! Bits of a row of logits do not depend on how many rows go through together: what speculation stands on.
//!
//! Tried and seen to fail here: `dot` in place of the explicit chain of `fma` with the gpu kernels, a share of k
//! that depends on the number of rows, tiles of attention counted from the first row of a pass.

mod common;

use common::{VARIANTS, engine, fixtures, golden, name};

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn rows_of_logits_have_the_same_bits_for_every_row_count() {
    for folder in fixtures() {
        let golden = golden(&folder);
        // 70 tokens: a full pass of 64 rows and a rest.
        let tokens = &golden.nll.token_ids[..70];
        for (dtype, kernel_set) in VARIANTS {
            let mut engine = engine(&folder, dtype, kernel_set);
            let mut run = |rows| bits(&pollster::block_on(engine.logits(tokens, rows)).expect("logits"));
            let one = run(1);
            for rows in [2, 5, 17, 64] {
                assert!(run(rows) == one, "{} {dtype:?} {kernel_set:?}: {rows} rows differ from one", name(&folder));
            }
        }
    }
}

#[test]
fn rows_beyond_the_first_split_of_attention_have_the_same_bits_too() {
    for family in ["llama", "gemma3"] {
        let folder = fixtures().into_iter().find(|f| name(f) == family).expect("the fixture exists");
        let golden = golden(&folder);
        // Crosses position 256, where attention with the gpu kernels begins to split.
        let tokens = &golden.nll.token_ids[..280];
        for (dtype, kernel_set) in VARIANTS {
            let mut engine = engine(&folder, dtype, kernel_set);
            let mut run = |rows| bits(&pollster::block_on(engine.logits(tokens, rows)).expect("logits"));
            let one = run(1);
            for rows in [7, 64] {
                assert!(run(rows) == one, "{family} {dtype:?} {kernel_set:?}: {rows} rows differ from one");
            }
        }
    }
}
