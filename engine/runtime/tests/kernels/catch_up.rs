//! `catch_up.wesl`: what the draft's next pass is over, in both modes, word for word.

use understory_model::config::NormKind;
use understory_runtime::gpu::RowClass;
use understory_runtime::kernels::state::*;
use understory_runtime::kernels::{CatchUpParams, catch_up as dispatch};

use crate::device::{Device, KERNEL_SETS};
use crate::random::Random;
use crate::round::{UNUSED, ancestors, assert_state};

/// Rows before the root, and the root, that a tree of the draft takes.
const MOST: u32 = 16;

/// Seen to fail here: a root that is left out; 17 rows; a prefill that forgets to count.
#[test]
fn the_draft_is_given_what_it_missed() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(41);
        let [mut joined, mut stayed_away] = [0; 2];
        for case in 0..80 {
            let kernel_set = KERNEL_SETS[case % 2];
            let start = random.below(3) > 0;
            let root = random.below(200) as u32;
            // As far behind as a tree takes, one more, level with the target, and ahead (after a shorter request).
            let behind = random.pick(&[0, 1, 3, 7, 14, 15, 16, 17, 40, 64, 130]).min(root);
            let known = if random.below(12) == 0 { root + 3 } else { root - behind };
            let chunk = random.pick(&[1, 16, 64, 128]);
            let verifies = random.below(6) > 0;
            let what = format!("case {case}, {kernel_set:?}: {known} of {root} known, start {start}, chunk {chunk}");

            let mut state = vec![UNUSED; STATE_WORDS];
            state[BASE] = root;
            state[DRAFT_LEN] = known;
            state[N_ROWS] = if verifies { 1 + random.below(9) as u32 } else { 0 };
            let history: Vec<u32> = (0..=root).map(|_| random.bits() % 1000).collect();
            let mut draft = vec![UNUSED; STATE_WORDS];
            let mut tokens = vec![UNUSED; 128];
            let buffers = [&state, &draft, &tokens, &history].map(|v| device.buffer(v));
            let mut b = device.builder(kernel_set, NormKind::Rms);
            let params = CatchUpParams { start: start.into(), chunk, pad: [0; 2] };
            let one = pollster::block_on(dispatch(&mut b, params, buffers.each_ref().map(|b| &**b))).expect("builds");
            device.run([&one], RowClass::One, 1, 1);
            let [got_state, mut got_draft] = [0, 1].map(|i| device.read::<u32>(&buffers[i], STATE_WORDS));
            let got_tokens = device.read::<u32>(&buffers[2], tokens.len());

            let missing = root.saturating_sub(known);
            let rows = match start {
                false => missing.min(chunk),
                true if known > root || missing + 1 > MOST || !verifies => 0,
                true => missing + 1,
            };
            for i in 0..rows as usize {
                tokens[i] = history[known as usize + i];
            }
            for (word, value) in [(N_ROWS, rows), (BASE, known), (ROW0, 0)] {
                draft[word] = value;
            }
            if start {
                for (word, value) in [
                    (DRAFT_ROWS, rows),
                    (N_CATCH, rows),
                    // The root is the last of them.
                    (DRAFT_ROW, if rows > 0 { rows - 1 } else { NO_ROW }),
                ] {
                    state[word] = value;
                }
                for i in 0..rows as usize {
                    draft[DEPTH + i] = i as u32;
                    draft[PARENT + i] = if i + 1 == rows as usize { 0 } else { NO_ROW };
                    assert!(ancestors(&got_draft, i, i).into_iter().eq(0..=i), "{what}: ancestors of row {i}");
                    let at = ANCESTORS + i * ANCESTOR_WORDS;
                    // Beyond its own depth a row's entries mean nothing.
                    let words = at..at + MOST as usize / 4;
                    got_draft[words.clone()].copy_from_slice(&draft[words]);
                }
                joined += usize::from(rows > 1);
                stayed_away += usize::from(rows == 0);
            } else {
                state[DRAFT_LEN] = known + rows;
            }
            assert_eq!(got_tokens, tokens, "{what}: tokens");
            assert_state(&format!("{what}: target"), &got_state, &state);
            assert_state(&format!("{what}: draft"), &got_draft, &draft);
        }
        assert!(
            joined > 10 && stayed_away > 10,
            "{joined} rounds with rows before the root, {stayed_away} without the draft"
        );
    }
}
