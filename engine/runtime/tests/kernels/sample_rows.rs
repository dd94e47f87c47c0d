//! `sample.wesl` with `rows`: the choice at each row of a tree is the one that plain decoding makes after the row's
//! path, at its position, with its tokens seen.

use understory_model::config::NormKind;
use understory_protocol::{KernelSet, Sampling};
use understory_runtime::gpu::RowClass;
use understory_runtime::kernels::row_sampler;
use understory_runtime::kernels::state::*;
use understory_speculation::tree::DraftTree;

use crate::device::{Device, KERNEL_SETS};
use crate::random::Random;
use crate::reference::{State, sample};
use crate::round::{UNUSED, block_maxima, random_tree, write_tree};
use crate::sample::{CLEARANCE, LEAD, reference_of};

/// `[rows, vocab]` logits of a tree's rows.
struct Case {
    tree: DraftTree,
    base: u32,
    vocab: usize,
    logits: Vec<f32>,
    seen: Vec<u32>,
}

impl Case {
    fn new(random: &mut Random, vocab: usize) -> Self {
        let root = random.below(vocab) as u32;
        let rows = 1 + random.below(64);
        let tree = random_tree(random, root, rows, vocab);
        let logits = random.values(tree.rows().len() * vocab).iter().map(|l| 6.0 * l).collect();
        let mut state = State::new(vocab);
        // The root was chosen earlier.
        state.advance(root);
        for _ in 0..random.below(20) {
            state.advance(random.below(vocab) as u32);
        }
        Self { tree, base: random.below(1000) as u32, vocab, logits, seen: state.seen }
    }

    /// The choices, after which a mark must lie where there is no row.
    fn run(&self, device: &mut Device, kernel_set: KernelSet, sampling: &Sampling) -> Vec<u32> {
        let rows = self.tree.rows().len();
        let mut words = vec![UNUSED; STATE_WORDS];
        words[N_ROWS] = rows as u32;
        words[BASE] = self.base;
        write_tree(&mut words, &self.tree, &[NO_ROW; 64]);
        let block_max: Vec<[u32; 2]> = self.logits.chunks(self.vocab).flat_map(block_maxima).collect();
        let (logits, block_max, state) =
            (device.buffer(&self.logits), device.buffer(&block_max), device.buffer(&words));
        let (chosen, seen) = (device.buffer(&[UNUSED; 80]), device.buffer(&self.seen));
        let mut b = device.builder(kernel_set, NormKind::Rms);
        let buffers = [&*logits, &block_max, &state, &chosen, &seen];
        let sampler = pollster::block_on(row_sampler(&mut b, self.vocab, 64, buffers)).expect("builds");
        sampler.prepare(&device.gpu, sampling);
        // The host records for the most rows that there may be.
        device.run(sampler.choice(sampling), RowClass::Tree, 64, 1);
        assert_eq!(device.read::<u32>(&state, STATE_WORDS), words, "the state stays");
        assert_eq!(device.read::<u32>(&seen, self.seen.len()), self.seen, "what was seen stays");
        let mut chosen = device.read::<u32>(&chosen, 80);
        assert!(chosen[rows..].iter().all(|&v| v == UNUSED), "{kernel_set:?}: a choice without a row");
        chosen.truncate(rows);
        chosen
    }

    /// Compares `chosen` with the reference row by row; returns how many rows were too close to tell.
    fn check(&self, chosen: &[u32], sampling: &Sampling, what: &str) -> usize {
        let mut close = 0;
        for (row, (&token, logits)) in chosen.iter().zip(self.logits.chunks(self.vocab)).enumerate() {
            let mut state = State { base: self.base, seen: self.seen.clone(), ..State::new(self.vocab) };
            for node in &self.tree.ancestors(row)[1..] {
                state.advance(self.tree.rows()[*node].token);
            }
            let choice = sample(&reference_of(sampling), logits, &state);
            if sampling.temperature > 0.0 && (choice.lead < LEAD || choice.clearance < CLEARANCE) {
                close += 1;
            } else {
                assert_eq!(token, choice.token, "{what}: row {row}, lead {:e}", choice.lead);
            }
        }
        close
    }
}

fn sampling(random: &mut Random, temperature: f32) -> Sampling {
    Sampling {
        temperature,
        top_k: random.pick(&[0, 1, 20]),
        top_p: random.pick(&[1.0, 0.9]),
        min_p: random.pick(&[0.0, 0.0, 0.05]),
        repetition_penalty: random.pick(&[1.0, 1.3, 1.3]),
        seed: u64::from(random.bits()) << 32 | u64::from(random.bits()),
    }
}

/// Seen to fail here: a path whose tokens are not seen; noise at the position of the row in place of its token's.
#[test]
fn sampled_choices_are_those_of_plain_decoding() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(61);
        let (mut total, mut close) = (0, 0);
        for case in 0..40 {
            let kernel_set = KERNEL_SETS[case % 2];
            let vocab = random.pick(&[5, 37, 300, 1000]);
            let temperature = random.pick(&[0.3, 0.8, 1.7]);
            let sampling = sampling(&mut random, temperature);
            let case = Case::new(&mut random, vocab);
            let chosen = case.run(&mut device, kernel_set, &sampling);
            close += case.check(&chosen, &sampling, &format!("{kernel_set:?}, vocabulary {vocab}, {sampling:?}"));
            total += chosen.len();
        }
        assert!(close * 20 < total, "{close} of {total} rows were too close to compare");
    }
}

/// Seen to fail here: rows of block maxima that overlap.
#[test]
fn greedy_choices_are_those_of_plain_decoding() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(62);
        for case in 0..40 {
            let kernel_set = KERNEL_SETS[case % 2];
            let vocab = random.pick(&[1, 3, 37, 301]);
            // With a penalty the other kernel does it.
            let repetition_penalty = if case % 4 < 2 { 1.0 } else { 1.5 };
            let sampling = Sampling { repetition_penalty, ..Sampling::default() };
            let mut case = Case::new(&mut random, vocab);
            // Ties, and a NaN in a row; the other rows do not mind.
            for logits in case.logits.chunks_mut(vocab) {
                for _ in 0..random.below(4) {
                    logits[random.below(vocab)] = 6.0;
                }
                if random.below(10) == 0 {
                    logits[random.below(vocab)] = [f32::NAN, f32::INFINITY][random.below(2)];
                }
            }
            let chosen = case.run(&mut device, kernel_set, &sampling);
            case.check(&chosen, &sampling, &format!("{kernel_set:?}, vocabulary {vocab}, {sampling:?}"));
        }
    }
}

/// What makes a tree lossless: a row's choice is that of a tree of this row alone, its path committed before it.
///
/// Seen to fail here: a path whose tokens are not seen.
#[test]
fn a_row_of_a_tree_chooses_as_it_would_alone() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(63);
        let vocab = 40;
        for case in 0..20 {
            let kernel_set = KERNEL_SETS[case % 2];
            let sampling = Sampling { repetition_penalty: 1.5, ..sampling(&mut random, 0.8) };
            let case = Case::new(&mut random, vocab);
            let chosen = case.run(&mut device, kernel_set, &sampling);
            for row in [0, chosen.len() / 4, chosen.len() / 2, chosen.len() - 1] {
                let path = case.tree.ancestors(row);
                let mut state = State { seen: case.seen.clone(), ..State::new(vocab) };
                path[1..].iter().for_each(|&r| state.advance(case.tree.rows()[r].token));
                let alone = Case {
                    tree: DraftTree::new(case.tree.rows()[row].token),
                    base: case.base + path.len() as u32 - 1,
                    vocab,
                    logits: case.logits[row * vocab..(row + 1) * vocab].to_vec(),
                    seen: state.seen,
                };
                let what = format!("{kernel_set:?}, row {row}, {sampling:?}");
                assert_eq!(alone.run(&mut device, kernel_set, &sampling), [chosen[row]], "{what}");
            }
        }
    }
}
