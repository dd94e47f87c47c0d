//! What passes cost on this device: plain steps, verification and draft levels by rows, and the walk.

use std::collections::{BTreeMap, VecDeque};

use understory_protocol::formulas::median;
use understory_protocol::{Costs, Lossless, Result};
use understory_speculation::prior::Known;
use web_time::Instant;

use super::learning::DOING;
use super::round::RoundKernels;
use crate::forward::Forward;
use crate::gpu::Gpu;

/// Sizes whose costs are measured: first those that tell most, and where a turn begins in the first half of the time the
/// others as well.
const COST_ROWS: [usize; 4] = [8, 16, 1, 4];
const MORE_COST_ROWS: [usize; 3] = [2, 32, 64];
/// Rounds are recorded for the most rows that they may have, and fewer of them pay for that: so many, as a rule.
const ROUND_ROWS: usize = 16;
/// Sizes of draft levels whose costs are measured.
const DRAFT_ROWS: [usize; 3] = [1, 8, 16];
/// Turns of measurements at most.
const TURNS: usize = 9;
/// Time for the self-test and these, in milliseconds, after which no further turn goes on.
const BUDGET_MS: f64 = 220.0;
/// Sizes up to this are measured however long they take: nothing could be decided without them.
const NEEDED_ROWS: usize = 4;

/// A pass to be timed, beside a plain step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// the walk alone, with what a submission costs
    Walk,
    Verify(usize),
    Draft(usize),
}

/// The measurement, a pass and the plain step beside it at a time.
#[derive(Default)]
pub(super) struct Timing {
    samples: Samples,
    turns: usize,
    /// left of this turn
    parts: VecDeque<Part>,
    /// the last plain step was made
    ended: bool,
}

impl Timing {
    /// Takes the next step from position `base` on; false: there is none left. `spent_ms`: the self-test and this so far.
    /// A pass that takes longer than `limit_ms` is left out, as far as `expected` (milliseconds of a verification by its
    /// rows) tells.
    ///
    /// # Errors
    /// [`understory_protocol::Error::DeviceLost`], [`understory_protocol::Error::OutOfDeviceMemory`].
    pub(super) async fn step(
        &mut self,
        gpu: &Gpu,
        (target, round): (&Forward, &RoundKernels),
        (tree_rows, base): (usize, usize),
        spent_ms: f64,
        (limit_ms, expected): (f64, &dyn Fn(usize) -> f64),
    ) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.samples.plain_step(time(gpu, || target.submit_plain_step(gpu, base)).await?);
        // Nothing is expected before there is a plain step.
        if self.samples.plain_ms.len() == 1 {
            return Ok(true);
        }
        let has_draft = round.drafters.model.is_some();
        match self.next((tree_rows, has_draft), spent_ms, |rows| rows > NEEDED_ROWS && expected(rows) > limit_ms) {
            None => self.ended = true,
            Some(Part::Walk) => self.samples.fixed(time(gpu, || round.submit_walk(gpu, target, base)).await?),
            Some(Part::Verify(rows)) => {
                let most = rows.max(ROUND_ROWS.min(tree_rows));
                let ms = time(gpu, || round.submit_verification(gpu, target, rows, most, base)).await?;
                self.samples.verify(rows, ms);
            }
            Some(Part::Draft(rows)) => {
                if let Some(draft) = &round.drafters.model {
                    self.samples.draft(rows, time(gpu, || draft.submit_level(gpu, target, rows, base)).await?);
                }
            }
        }
        Ok(true)
    }

    fn next(
        &mut self,
        (tree_rows, has_draft): (usize, bool),
        spent_ms: f64,
        too_long: impl Fn(usize) -> bool,
    ) -> Option<Part> {
        if self.turns > usize::from(!self.parts.is_empty()) && spent_ms > BUDGET_MS {
            return None;
        }
        if self.parts.is_empty() {
            if self.turns == TURNS {
                return None;
            }
            self.turns += 1;
            let more = spent_ms < BUDGET_MS / 2.0;
            let sizes = COST_ROWS.into_iter().chain(MORE_COST_ROWS.into_iter().filter(|_| more));
            for rows in sizes.filter(|&rows| rows <= tree_rows && !too_long(rows)) {
                let drafted = has_draft && DRAFT_ROWS.contains(&rows);
                self.parts.extend((rows == 1).then_some(Part::Walk));
                self.parts.push_back(Part::Verify(rows));
                self.parts.extend(drafted.then_some(Part::Draft(rows)));
            }
        }
        self.parts.pop_front()
    }

    /// Whether there is a size by which others can be predicted.
    pub(super) fn is_something(&self) -> bool {
        !self.samples.verify.is_empty()
    }

    /// What was measured so far; `None`: nothing.
    pub(super) fn known(&self) -> Option<Known> {
        if self.samples.plain_ms.is_empty() {
            return None;
        }
        let Costs { plain_ms, fixed_ms, verify_ms, draft_ms, .. } = self.samples.costs(Lossless::Off, 0.0);
        Some(Known { plain_ms, fixed_ms, verify_ms, draft_ms })
    }

    pub(super) fn costs(&self, lossless: Lossless, took_ms: f64) -> Costs {
        self.samples.costs(lossless, took_ms)
    }
}

/// What was measured, in turns: a plain step before and after each few passes. Other processes add
/// noise, which neighbours share: they are compared with each other, and the median of those ratios counts.
#[derive(Default)]
struct Samples {
    plain_ms: Vec<f64>,
    fixed: Vec<Sample>,
    verify: BTreeMap<usize, Vec<Sample>>,
    draft: BTreeMap<usize, Vec<Sample>>,
}

#[derive(Clone, Copy)]
struct Sample {
    ms: f64,
    /// plain steps that had been measured before
    after: usize,
}

impl Samples {
    fn plain_step(&mut self, ms: f64) {
        self.plain_ms.push(ms);
    }

    fn fixed(&mut self, ms: f64) {
        self.fixed.push(Sample { ms, after: self.plain_ms.len() });
    }

    fn verify(&mut self, rows: usize, ms: f64) {
        self.verify.entry(rows).or_default().push(Sample { ms, after: self.plain_ms.len() });
    }

    fn draft(&mut self, rows: usize, ms: f64) {
        self.draft.entry(rows).or_default().push(Sample { ms, after: self.plain_ms.len() });
    }

    /// Milliseconds: the median ratio to the plain steps before and after, times `plain_ms`.
    fn typical(&self, samples: &[Sample], plain_ms: f64) -> f64 {
        // The one after it may be still to come.
        let plain = |nth: usize| self.plain_ms[nth.min(self.plain_ms.len() - 1)];
        let beside = |after: usize| (plain(after - 1) + plain(after)) / 2.0;
        let ratios: Vec<f64> = samples.iter().map(|sample| sample.ms / beside(sample.after)).collect();
        median(&ratios) * plain_ms
    }

    /// Begins with a plain step.
    fn costs(&self, lossless: Lossless, took_ms: f64) -> Costs {
        let plain_ms = median(&self.plain_ms);
        let curve = |samples: &BTreeMap<usize, Vec<Sample>>| {
            let mut points: Vec<_> = samples.iter().map(|(&rows, of)| (rows, self.typical(of, plain_ms))).collect();
            never_dearer_with_fewer(&mut points);
            points
        };
        let (verify_ms, draft_ms) = (curve(&self.verify), curve(&self.draft));
        let fixed_ms = if self.fixed.is_empty() { 0.0 } else { self.typical(&self.fixed, plain_ms) };
        // To check a row is to do a plain step, and more.
        let plain_ms = verify_ms.first().map_or(plain_ms, |one_row| plain_ms.min(one_row.1));
        Costs { plain_ms, fixed_ms, verify_ms, draft_ms, lossless, took_ms }
    }
}

/// Fewer rows never cost more: neighbours that say otherwise were disturbed, and share their mean.
fn never_dearer_with_fewer(points: &mut [(usize, f64)]) {
    // Pool adjacent violators (Barlow et al. 1972): blocks of points with ascending means.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &(_, ms) in &*points {
        let mut block = (ms, 1);
        while let Some(&(mean, n)) = blocks.last().filter(|last| last.0 > block.0) {
            blocks.pop();
            block = ((mean * n as f64 + block.0 * block.1 as f64) / (n + block.1) as f64, n + block.1);
        }
        blocks.push(block);
    }
    let means = blocks.iter().flat_map(|&(mean, n)| std::iter::repeat_n(mean, n));
    points.iter_mut().zip(means).for_each(|(point, mean)| point.1 = mean);
}

/// Milliseconds from the submission to its end.
async fn time(gpu: &Gpu, submit: impl FnOnce()) -> Result<f64> {
    let start = Instant::now();
    submit();
    gpu.wait(DOING).await?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_neighbours_share_their_mean() {
        let mut points = vec![(1, 5.0), (2, 9.0), (4, 6.0), (8, 7.5), (16, 7.0)];
        never_dearer_with_fewer(&mut points);
        assert_eq!(points, [(1, 5.0), (2, 7.375), (4, 7.375), (8, 7.375), (16, 7.375)]);
        let mut points = vec![(1, 5.0), (2, 6.0), (4, 8.0), (8, 4.0)];
        never_dearer_with_fewer(&mut points);
        assert_eq!(points, [(1, 5.0), (2, 6.0), (4, 6.0), (8, 6.0)]);
    }

    /// A device that is slow: one turn. Seen to fail here: a turn that ends in its middle.
    #[test]
    fn passes_that_take_too_long_are_left_out_and_the_first_turn_is_whole() {
        let parts = |spent_ms: f64| {
            let mut timing = Timing::default();
            let next = || timing.next((64, true), spent_ms, |rows| rows > 8);
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        let turn = [Part::Verify(8), Part::Draft(8), Part::Walk, Part::Verify(1), Part::Draft(1), Part::Verify(4)];
        assert_eq!(parts(300.0), turn);
        let quick = parts(0.0);
        assert_eq!(quick.len(), TURNS * (turn.len() + 1));
        assert_eq!(quick[turn.len()], Part::Verify(2));
    }

    /// A device that takes twice as long from the second turn on. Seen to fail here: the least of each size, so that
    /// what was measured later seems dearer.
    #[test]
    fn passes_are_compared_with_the_plain_steps_beside_them() {
        let mut samples = Samples::default();
        for pace in [1.0, 2.0, 2.0] {
            samples.plain_step(4.0 * pace);
            samples.fixed(0.5 * pace);
            samples.verify(1, 4.4 * pace);
            samples.draft(1, 2.0 * pace);
            samples.plain_step(4.0 * pace);
            if pace > 1.0 {
                samples.verify(8, 8.0 * pace);
            }
        }
        samples.plain_step(8.0);
        let costs = samples.costs(Lossless::Verified, 1.0);
        assert_eq!(costs.plain_ms, 8.0);
        for (ms, want) in [(costs.fixed_ms, 1.0), (costs.verify_ms[0].1, 8.8), (costs.draft_ms[0].1, 4.0)] {
            assert!((ms - want).abs() < 1e-9, "{costs:?}");
        }
        assert_eq!(costs.verify_ms[1], (8, 16.0));
    }
}
