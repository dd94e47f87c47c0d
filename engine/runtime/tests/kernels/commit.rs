//! `commit.wesl`: the KV rows of an accepted path lie where plain decoding would have written them, bit for bit.

use understory_model::config::NormKind;
use understory_runtime::gpu::{RowClass, Words};
use understory_runtime::kernels::commit;
use understory_runtime::kernels::state::*;

use crate::device::{Device, KERNEL_SETS};
use crate::random::Random;
use crate::round::UNUSED;

const NONE: u32 = 0xff;

/// `n + 1` ascending rows below `end` from `first` on.
fn path(random: &mut Random, first: usize, end: usize, n: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = (first + 1..end).collect();
    while rows.len() > n {
        rows.remove(random.below(rows.len()));
    }
    [&[first], rows.as_slice()].concat()
}

/// Seen to fail here: a path taken from its end; a draft's rows counted from the target's base; a second layer that
/// takes the first one's rows.
#[test]
fn rows_of_the_path_move_into_place() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(51);
        let mut moved = 0;
        for case in 0..60 {
            let draft = case % 2 == 1;
            let n_layers = 1 + case / 2 % 7;
            let row = 4 * random.pick(&[1, 3, 16, 63, 64, 65, 130]);
            let n_catch = 1 + random.below(16);
            let base = n_catch + random.below(40);
            let accepted = random.pick(&[0, 1, 2, 5, 20, 63]);
            let rows = (accepted + 1 + random.below(20)).min(64);
            // The draft's rows of the path; from some node on it may have run none.
            let target = path(&mut random, 0, rows, accepted);
            let accepted = target.len() - 1;
            let known = if random.below(2) == 0 { accepted } else { random.below(accepted + 1) };
            let mut drafted: Vec<u32> =
                path(&mut random, n_catch - 1, n_catch - 1 + rows, known).into_iter().map(|r| r as u32).collect();
            drafted.resize(accepted + 1, NONE);
            if random.below(10) == 0 {
                // It took no part.
                drafted.fill(NONE);
            }

            let mut state = vec![UNUSED; STATE_WORDS];
            state[N_ACCEPTED] = accepted as u32;
            state[REC_BASE] = base as u32;
            state[N_CATCH] = n_catch as u32;
            for k in 0..=accepted {
                state[PATH + k] = target[k] as u32 | drafted[k] << 8;
            }
            // Slots of the path's nodes, the root's first. The draft's base is where it began to catch up.
            let sources: Vec<usize> = match draft {
                false => target.iter().map(|r| base + r).collect(),
                true => drafted.iter().take_while(|&&r| r != NONE).map(|&r| base + 1 - n_catch + r as usize).collect(),
            };
            let slots = base + 80;
            let mut values = || random.values(slots * row);
            let before: Vec<[Vec<f32>; 2]> = (0..n_layers).map(|_| [values(), values()]).collect();
            let state = device.buffer(&state);
            for kernel_set in KERNEL_SETS {
                let what = format!("{kernel_set:?}, case {case}: {n_layers} layers, rows of {row}, draft {draft}");
                let caches: Vec<[Words; 2]> =
                    before.iter().map(|layer| layer.each_ref().map(|of| device.words(kernel_set, of))).collect();
                let layers: Vec<_> = caches.iter().map(|layer| layer.each_ref()).collect();
                let mut b = device.builder(kernel_set, NormKind::Rms);
                let moves = pollster::block_on(commit(&mut b, &layers, [4 * row, 63], &state, draft)).expect("builds");
                device.run(&moves.dispatches, RowClass::Tree, 1, 1);
                for (words, before) in caches.iter().flatten().zip(before.iter().flatten()) {
                    let after = device.read_words(words, slots * row);
                    // What is committed, the root included, is not touched; beyond the path anything may lie.
                    assert!(after[..(base + 1) * row] == before[..(base + 1) * row], "{what}: committed rows");
                    for (k, &source) in sources.iter().enumerate() {
                        let (got, want) = (&after[(base + k) * row..][..row], &before[source * row..][..row]);
                        assert!(got == want, "{what}, {sources:?}: position {k} after the root");
                        moved += usize::from(source != base + k);
                    }
                }
            }
        }
        assert!(moved > 1000, "{moved} rows moved");
    }
}
