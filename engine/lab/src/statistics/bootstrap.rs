//! Intervals of medians and of their ratios: the smoothed bootstrap (Silverman & Young, "The bootstrap: to smooth or not
//! to smooth?", Biometrika 1987).
//!
//! The plain bootstrap of a median jumps between few values: with 13 runs its 95 % interval holds the median in 91 % of
//! experiments. So each value drawn is moved by normal noise of deviation s * n^(-2/5), s the smaller of the sample's
//! deviation and its interquartile range / 1.349. `tests.rs` simulates what that covers. Positive values are taken as
//! logarithms meanwhile, as latencies are skewed and ratios are what is asked of them.
//!
//! Draws come from a counter-based generator, so the same data give the same interval, on every device.

use understory_protocol::formulas::{BreakEven, median, median_of};

use super::draws::{MOST_KEPT, draw, place};
use super::interpolated;
use super::resampler::Resampler;
use crate::report::Estimate;

/// Runs under which no interval is given: with five, not even smallest and largest hold the median in 95 %.
pub const LEAST_RUNS: usize = 6;

/// Values drawn in all, where somebody else's report says how many: some seconds' work.
const MOST_DRAWS: usize = 200_000_000;
/// Resamples that stay however many the runs are: fewer do not reach the ends of a 95 % interval.
const LEAST_RESAMPLES: usize = 99;

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    pub resamples: usize,
    pub confidence: f64,
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1999, confidence: 0.95, seed: 1 }
    }
}

impl Bootstrap {
    /// The same with no more resamples than can be made in a few seconds, where each of them draws `values` values, and
    /// `longest` of them for one group at most.
    pub fn within(self, values: usize, longest: usize) -> Self {
        let most = (MOST_DRAWS / values.max(1)).min(MOST_KEPT / longest.max(1)).max(LEAST_RESAMPLES);
        Self { resamples: self.resamples.min(most), ..self }
    }

    /// For several estimates, which share their draws.
    pub fn resampler(self) -> Resampler {
        Resampler::new(self)
    }

    /// The median of `values`; `None` without any.
    pub fn median(&self, values: &[f64]) -> Option<Estimate> {
        self.resampler().median(values)
    }

    /// Median of `a` over median of `b`, measured apart: between two reports.
    pub fn ratio(&self, a: &[f64], b: &[f64]) -> Option<Estimate> {
        self.resampler().ratio(a, b)
    }

    /// Break-even of speculation against a baseline, from TTFT and TPOT of each, with its interval.
    pub fn break_even(&self, with: [&[f64]; 2], without: [&[f64]; 2]) -> Option<(BreakEven, Option<[BreakEven; 2]>)> {
        self.resampler().break_even(with, without)
    }

    /// Median of the first over median of the second of `pairs`, each of which ran in one round: a round is drawn as a
    /// whole, so that what both had in common (a slow minute) does not widen the interval. `None` without pairs, or
    /// with a value that is not positive.
    pub fn paired_ratio(&self, pairs: &[(f64, f64)]) -> Option<Estimate> {
        if pairs.is_empty() || pairs.iter().any(|&(a, b)| !(a > 0.0 && b > 0.0)) {
            return None;
        }
        let column = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
        let value = median(&column(|p| p.0)) / median(&column(|p| p.1));
        // Noise goes to what the two have in common and to what they differ in, each at its own scale.
        let level = column(|p| (p.0.ln() + p.1.ln()) / 2.0);
        let difference = column(|p| p.0.ln() - p.1.ln());
        let (level_noise, difference_noise) = (bandwidth(&level), bandwidth(&difference));
        let interval = self.interval(pairs.len(), |resample| {
            let drawn = (0..pairs.len()).map(|k| {
                let (bits, noise) = draw(self.seed, 0, resample as u32, k);
                let at = place(bits, pairs.len());
                let (level, difference) =
                    (level[at] + noise[0] * level_noise, difference[at] + noise[1] * difference_noise);
                (level + difference / 2.0, level - difference / 2.0)
            });
            let (mut a, mut b): (Vec<f64>, Vec<f64>) = drawn.unzip();
            (median_of(&mut a) - median_of(&mut b)).exp()
        });
        Some(Estimate::new(value, interval, pairs.len()))
    }

    /// The middle [`Self::confidence`] of what `statistic` gives over the resamples.
    pub(super) fn interval(&self, n: usize, statistic: impl Fn(usize) -> f64) -> Option<[f64; 2]> {
        if n < LEAST_RUNS || self.resamples == 0 {
            return None;
        }
        let mut all: Vec<f64> = (0..self.resamples).map(statistic).collect();
        all.sort_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        let rank = |share: f64| ((share * (all.len() + 1) as f64).round() as usize).clamp(1, all.len()) - 1;
        Some([all[rank(tail)], all[rank(1.0 - tail)]])
    }
}

/// Deviation of the smoothing noise; 0 where all values but a few are the same.
pub(super) fn bandwidth(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0)).sqrt();
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let spread = (interpolated(&sorted, 0.75) - interpolated(&sorted, 0.25)) / 1.349;
    deviation.min(spread) * n.powf(-0.4)
}
