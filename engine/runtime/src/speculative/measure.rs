//! What passes cost on this device: plain steps, verification and draft levels by rows, and the walk. Measured once,
//! before the first text is speculated on.

use std::collections::BTreeMap;

use understory_protocol::formulas::median;
use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Costs, Lossless, Result};
use web_time::Instant;

use super::drafter::Drafter;
use super::round::RoundKernels;
use super::self_test::{PATH, self_test};
use crate::forward::Forward;
use crate::gpu::Gpu;

pub(super) const DOING: &str = "measuring the device";
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
/// Keys before the rows that are compared and measured: what a text of some length has, since every row pays for them
/// again. The path crosses the 256 at which attention splits.
const CONTEXT: usize = 254;
/// Time for both, in milliseconds, after which no further measurement begins.
const BUDGET_MS: f64 = 220.0;

/// Checks and measures `target` with the drafters of `round`. Leaves `target` in the mode that is lossless, and the
/// caches empty.
///
/// # Errors
/// [`understory_protocol::Error::DeviceLost`], [`understory_protocol::Error::OutOfDeviceMemory`].
pub async fn measure(gpu: &Gpu, target: &mut Forward, round: &mut RoundKernels) -> Result<Costs> {
    let start = Instant::now();
    let elapsed_ms = || start.elapsed().as_secs_f64() * 1e3;
    let base = CONTEXT.min(target.config.max_position_embeddings.saturating_sub(PATH + 2));
    let positions = base + PATH + MAX_ROWS;
    target.reserve(gpu, positions).await?;
    target.cache.invalidate();
    for forward in round.drafters.each().filter_map(Drafter::forward_mut) {
        forward.reserve(gpu, positions).await?;
        forward.cache.invalidate();
    }
    let tree_rows = round.tree_rows(target, positions);
    warm_up(gpu, target, round, tree_rows, positions).await?;
    let lossless = self_test(gpu, (target, &round.verifier.trees), tree_rows, base).await?;
    target.shared_pipeline = lossless == Lossless::SharedPipeline;

    target.begin(gpu, &[0], positions, 0);
    let mut samples = Samples::default();
    'measuring: for turn in 0..TURNS {
        let more = elapsed_ms() < BUDGET_MS / 2.0;
        let sizes = COST_ROWS.iter().chain(MORE_COST_ROWS.iter().filter(|_| more));
        for &rows in sizes.filter(|&&rows| rows <= tree_rows) {
            if turn > 0 && elapsed_ms() > BUDGET_MS {
                break 'measuring;
            }
            samples.plain_step(time(gpu, || target.submit_plain_step(gpu, base)).await?);
            if rows == 1 {
                // With what a submission costs.
                samples.fixed(time(gpu, || round.submit_walk(gpu, target, base)).await?);
            }
            let most = rows.max(ROUND_ROWS.min(tree_rows));
            samples.verify(rows, time(gpu, || round.submit_verification(gpu, target, rows, most, base)).await?);
            if let Some(draft) = round.drafters.model.as_ref().filter(|_| DRAFT_ROWS.contains(&rows)) {
                samples.draft(rows, time(gpu, || draft.submit_level(gpu, target, rows, base)).await?);
            }
        }
    }
    samples.plain_step(time(gpu, || target.submit_plain_step(gpu, base)).await?);
    target.begin(gpu, &[0], 1, 0);
    Ok(samples.costs(lossless, elapsed_ms()))
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
        let beside = |after: usize| (self.plain_ms[after - 1] + self.plain_ms[after]) / 2.0;
        let ratios: Vec<f64> = samples.iter().map(|sample| sample.ms / beside(sample.after)).collect();
        median(&ratios) * plain_ms
    }

    /// Ends with a plain step, as it began.
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

/// Runs every pipeline of a round once with no rows: drivers that compile at the first dispatch do it here.
async fn warm_up(
    gpu: &Gpu,
    target: &Forward,
    round: &mut RoundKernels,
    tree_rows: usize,
    positions: usize,
) -> Result<()> {
    target.begin(gpu, &[0], 1, 0);
    target.set_rows(gpu, &[], 0);
    round.submit_empty_round(gpu, target, tree_rows, positions);
    gpu.wait(DOING).await
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
