//! `candidates.wesl` against its reference: tokens, and their logarithms of probabilities.

use understory_model::config::NormKind;
use understory_protocol::{KernelSet, Sampling};
use understory_runtime::gpu::RowClass;
use understory_runtime::kernels::state::*;
use understory_runtime::kernels::{CANDIDATES, CandidatesParams, candidates as dispatch};
use understory_speculation::tree::DraftTree;

use crate::device::{Device, KERNEL_SETS};
use crate::random::Random;
use crate::reference::{Candidates, Ranked, candidates};
use crate::round::{UNUSED, block_maxima, random_tree, write_tree};

/// The kernel scores in f32: by how much a score may be off, over the size of scores. Nearer ones may change places.
const ROUNDING: f64 = 1e-6;
/// Scores of the random cases, at most: logits of 6 over a temperature of 0.3, a penalty, and noise.
const SCORES: f64 = 45.0;

/// A pass of the draft over rows of the target's tree.
struct Pass {
    tree: DraftTree,
    base: u32,
    /// the tree's rows that the pass is over; `None`: a committed token that the draft had not seen
    frontier: Vec<Option<usize>>,
    vocab: usize,
    n_shared: usize,
    /// `[rows, vocab]`
    logits: Vec<f32>,
    seen: Vec<u32>,
}

impl Pass {
    fn new(random: &mut Random, vocab: usize, n_shared: usize) -> Self {
        let rows = 1 + random.below(40);
        let tree = random_tree(random, 0, rows, n_shared);
        let skipped = random.pick(&[0, 0, 3, 15]);
        let frontier = (0..skipped).map(|_| None).chain((0..1 + random.below(20)).map(|_| Some(0)));
        let frontier: Vec<_> = frontier.map(|r| r.map(|_| random.below(tree.rows().len()))).collect();
        let logits = random.values(frontier.len() * vocab).iter().map(|l| 6.0 * l).collect();
        let seen = (0..vocab.div_ceil(32)).map(|_| random.bits() & random.bits() & random.bits()).collect();
        Self { tree, base: random.below(1000) as u32, frontier, vocab, n_shared, logits, seen }
    }

    /// `[rows, 4]` (token, log-probability) of the rows of the tree; checks that the others are left alone.
    fn run(
        &self,
        device: &mut Device,
        kernel_set: KernelSet,
        sampling: &Sampling,
    ) -> Vec<Option<[(u32, f32); CANDIDATES]>> {
        let row0 = self.base as usize % 16;
        let mut target = vec![UNUSED; STATE_WORDS];
        target[BASE] = self.base;
        write_tree(&mut target, &self.tree, &[NO_ROW; 64]);
        let mut draft = vec![UNUSED; STATE_WORDS];
        draft[N_ROWS] = self.frontier.len() as u32;
        draft[ROW0] = row0 as u32;
        for (m, row) in self.frontier.iter().enumerate() {
            draft[PARENT + row0 + m] = row.map_or(NO_ROW, |r| r as u32);
        }
        let block_max: Vec<[u32; 2]> = self.logits.chunks(self.vocab).flat_map(block_maxima).collect();
        let out = device.buffer(&[[UNUSED; 2]; 64 * CANDIDATES]);
        let buffers = [
            device.buffer(&self.logits),
            device.buffer(&block_max),
            device.buffer(&draft),
            device.buffer(&target),
            device.buffer(&self.seen),
        ];
        let [logits, block_max, draft, target, seen] = buffers.each_ref().map(|b| &**b);
        let params = CandidatesParams::new(sampling, self.vocab, self.n_shared, 1.0);
        let mut b = device.builder(kernel_set, NormKind::Rms);
        let one = pollster::block_on(dispatch(&mut b, &params, 64, [logits, block_max, draft, target, seen, &out]));
        device.run(one.expect("builds").dispatches(), RowClass::Tree, 64, 1);
        let out = device.read::<[u32; 2]>(&out, 64 * CANDIDATES);
        let row = |(m, of_row): (usize, &[[u32; 2]])| {
            let runs = self.frontier.get(m).is_some_and(Option::is_some);
            assert!(runs || of_row.iter().all(|&c| c == [UNUSED; 2]), "{kernel_set:?}: row {m} is not of the tree");
            runs.then(|| std::array::from_fn(|i| (of_row[i][0], f32::from_bits(of_row[i][1]))))
        };
        out.chunks(CANDIDATES).enumerate().map(row).collect()
    }

    fn expected(&self, sampling: &Sampling, m: usize, row: usize) -> Ranked {
        let op = Candidates {
            // The target's choice among one token is not moved by noise.
            temperature: if sampling.top_k == 1 { 0.0 } else { sampling.temperature },
            penalty: sampling.repetition_penalty,
            seed: sampling.seed,
            n_shared: self.n_shared,
        };
        let path = self.tree.ancestors(row);
        let seen = |v: u32| {
            let on_path = path[1..].iter().any(|&r| self.tree.rows()[r].token == v);
            on_path || self.seen[v as usize / 32] >> (v % 32) & 1 == 1
        };
        // A root's next token is at base + 1.
        let position = self.base + path.len() as u32;
        candidates(&op, &self.logits[m * self.vocab..(m + 1) * self.vocab], position, seen)
    }

    /// Runs the pass and compares; returns (rows, rows too close to tell). `scores` are of this size.
    fn check(&self, device: &mut Device, kernel_set: KernelSet, sampling: &Sampling, scores: f64) -> (usize, usize) {
        let limit = ROUNDING * scores;
        let got = self.run(device, kernel_set, sampling);
        let (mut rows, mut close) = (0, 0);
        for (m, row) in self.frontier.iter().enumerate() {
            let Some(row) = *row else { continue };
            let want = self.expected(sampling, m, row);
            let got = got[m].expect("a row of the tree");
            let what = format!("{kernel_set:?}, {} of {} tokens, {sampling:?}, row {m}", self.n_shared, self.vocab);
            rows += 1;
            let n = want.best.len();
            assert!(got[n..].iter().all(|c| c.0 == NO_TOKEN), "{what}: {got:?}, expected {want:?}");
            if want.clearance < 2.0 * limit {
                close += 1;
                continue;
            }
            for (g, w) in got.iter().zip(&want.best) {
                let error = (f64::from(g.1) - w.1).abs();
                assert!(g.0 == w.0 && error < limit, "{what}: {got:?}, expected {want:?}");
            }
        }
        (rows, close)
    }
}

/// Seen to fail here: the path's tokens not seen; noise at the row's position in place of its token's; shares of all
/// tokens where only some are shared.
#[test]
fn candidates_are_those_of_the_reference() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(71);
        let (mut total, mut close) = (0, 0);
        for case in 0..80 {
            let vocab = random.pick(&[5, 37, 300, 1000, 1027]);
            let n_shared = if random.below(2) == 0 { vocab } else { 1 + random.below(vocab) };
            let sampling = Sampling {
                temperature: random.pick(&[0.0, 0.3, 0.8, 1.7]),
                top_k: random.pick(&[0, 0, 1, 40]),
                // What the target filters is proposed all the same.
                top_p: 0.5,
                repetition_penalty: random.pick(&[1.0, 0.8, 1.3]),
                seed: u64::from(random.bits()) << 32 | u64::from(random.bits()),
                ..Sampling::default()
            };
            let pass = Pass::new(&mut random, vocab, n_shared);
            let (rows, near) = pass.check(&mut device, KERNEL_SETS[case % 2], &sampling, SCORES);
            (total, close) = (total + rows, close + near);
        }
        assert!(close * 20 < total, "{close} of {total} rows were too close to compare");
    }
}

/// Seen to fail here: the highest of equals.
#[test]
fn the_lowest_of_equal_tokens_comes_first() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(72);
        for case in 0..20 {
            let vocab = random.pick(&[3, 37, 1000]);
            let mut pass = Pass::new(&mut random, vocab, vocab);
            let levels = random.pick(&[1, 2, 5]);
            // Steps of 1/4 stay what they are in f32.
            pass.logits.fill_with(|| random.below(levels) as f32 / 4.0 - 1.0);
            let (_, close) = pass.check(&mut device, KERNEL_SETS[case % 2], &Sampling::default(), SCORES);
            assert_eq!(close, 0);
        }
    }
}

/// Seen to fail here: NaN taken for a logarithm of a probability like any other; catch-up rows that are not skipped.
#[test]
fn a_nan_proposes_nothing_and_minus_infinity_is_left_out() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(73);
        for case in 0..24 {
            let vocab = random.pick(&[5, 37, 1000]);
            let mut pass = Pass::new(&mut random, vocab, vocab);
            for logits in pass.logits.chunks_mut(vocab) {
                match random.below(4) {
                    0 => logits[random.below(vocab)] = random.pick(&[f32::NAN, -f32::NAN]),
                    1 => logits.fill(f32::NEG_INFINITY),
                    2 => logits[random.below(3)..].fill(f32::NEG_INFINITY),
                    _ => {}
                }
            }
            let sampling = Sampling { temperature: [0.0, 0.8][case / 2 % 2], ..Sampling::default() };
            pass.check(&mut device, KERNEL_SETS[case % 2], &sampling, SCORES);
        }
    }
}

/// A temperature makes hundreds of units of what a penalty, or the other vocabulary, takes from the largest logit:
/// shares are relative to the best score, or all of them vanish.
///
/// Seen to fail here: shares relative to the row's largest logit.
#[test]
fn scores_far_below_the_largest_logit_keep_their_shares() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(74);
        for case in 0..16 {
            let mut pass = Pass::new(&mut random, 300, 200);
            for logits in pass.logits.chunks_mut(300) {
                // Seen, and divided by the penalty; or known to the draft alone.
                logits[if case % 4 < 2 { 7 } else { 250 }] = 60.0;
            }
            pass.seen[0] |= 1 << 7;
            let (temperature, repetition_penalty) = (random.pick(&[0.02f32, 0.1]), random.pick(&[2.0f32, 60.0, 0.1]));
            let scores = 60.0 / f64::from(temperature * repetition_penalty.min(1.0));
            let sampling =
                Sampling { temperature, repetition_penalty, seed: random.bits().into(), ..Sampling::default() };
            pass.check(&mut device, KERNEL_SETS[case % 2], &sampling, scores);
        }
    }
}
