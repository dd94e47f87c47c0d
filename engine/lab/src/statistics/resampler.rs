//! Estimates that share their draws, and groups of values that several estimates share: a case's runs of one report stand
//! in its own median and in each ratio to it.

use std::cell::{OnceCell, RefCell};

use understory_protocol::formulas::{BreakEven, break_even, median, median_of};

use super::bootstrap::{Bootstrap, LEAST_RUNS, bandwidth};
use super::draws::{Draws, place};
use crate::report::Estimate;

/// Groups of one estimate at most, each with draws of its own.
const STREAMS: usize = 4;

/// A [`Bootstrap`] at work.
pub struct Resampler {
    bootstrap: Bootstrap,
    streams: [RefCell<Draws>; STREAMS],
}

/// Values of one group, as logarithms where they are positive, with their smoothing.
pub struct Group {
    values: Vec<f64>,
    logarithmic: bool,
    noise: f64,
    median: f64,
    /// by stream, the median of each resample, where it was asked for
    resampled: [OnceCell<Vec<f64>>; STREAMS],
}

impl Group {
    /// `None` without values.
    pub fn new(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let logarithmic = values.iter().all(|&value| value > 0.0);
        let median = median(values);
        let values: Vec<f64> = if logarithmic { values.iter().map(|v| v.ln()).collect() } else { values.to_vec() };
        let noise = bandwidth(&values);
        Some(Self { values, logarithmic, noise, median, resampled: Default::default() })
    }

    fn back(&self, value: f64) -> f64 {
        if self.logarithmic { value.exp() } else { value }
    }
}

impl Resampler {
    pub(super) fn new(bootstrap: Bootstrap) -> Self {
        Self { bootstrap, streams: Default::default() }
    }

    /// As [`Bootstrap::median`].
    pub fn median(&self, values: &[f64]) -> Option<Estimate> {
        Some(self.median_of(&Group::new(values)?))
    }

    /// As [`Bootstrap::ratio`].
    pub fn ratio(&self, a: &[f64], b: &[f64]) -> Option<Estimate> {
        self.ratio_of(&Group::new(a)?, &Group::new(b)?)
    }

    pub fn median_of(&self, group: &Group) -> Estimate {
        self.estimate(&[group], |medians| medians[0])
    }

    pub fn ratio_of(&self, a: &Group, b: &Group) -> Option<Estimate> {
        (a.median / b.median).is_finite().then(|| self.estimate(&[a, b], |medians| medians[0] / medians[1]))
    }

    /// As [`Bootstrap::break_even`].
    pub fn break_even(&self, with: [&[f64]; 2], without: [&[f64]; 2]) -> Option<(BreakEven, Option<[BreakEven; 2]>)> {
        let [ttft, plain_ttft] = [Group::new(with[0])?, Group::new(without[0])?];
        let [tpot, plain_tpot] = [Group::new(with[1])?, Group::new(without[1])?];
        let estimate =
            self.estimate(&[&ttft, &plain_ttft, &tpot, &plain_tpot], |m| match break_even(m[0], m[1], m[2], m[3]) {
                BreakEven::Always => 0.0,
                BreakEven::After(tokens) => tokens,
                BreakEven::Never => f64::INFINITY,
            });
        let back = |tokens: f64| match tokens {
            f64::INFINITY => BreakEven::Never,
            0.0 => BreakEven::Always,
            tokens => BreakEven::After(tokens),
        };
        Some((back(estimate.value), estimate.interval.map(|ends| ends.map(back))))
    }

    /// What `statistic` makes of the medians of groups that were measured apart from each other.
    fn estimate(&self, groups: &[&Group], statistic: impl Fn(&[f64]) -> f64) -> Estimate {
        let medians: Vec<f64> = groups.iter().map(|group| group.median).collect();
        let n = groups.iter().map(|group| group.values.len()).min().unwrap_or(0);
        if n < LEAST_RUNS {
            return Estimate::new(statistic(&medians), None, n);
        }
        let resampled: Vec<&[f64]> = groups.iter().enumerate().map(|(nth, group)| self.resampled(nth, group)).collect();
        let interval = self.bootstrap.interval(n, |resample| {
            let mut drawn = [0.0; STREAMS];
            for (median, of) in drawn.iter_mut().zip(&resampled) {
                *median = of[resample];
            }
            statistic(&drawn[..groups.len()])
        });
        Estimate::new(statistic(&medians), interval, n)
    }

    /// The medians of `group` over the resamples of a stream.
    fn resampled<'a>(&self, stream: usize, group: &'a Group) -> &'a [f64] {
        group.resampled[stream].get_or_init(|| {
            let Bootstrap { resamples, seed, .. } = self.bootstrap;
            let (n, name) = (group.values.len(), (seed, stream as u32));
            let mut draws = self.streams[stream].borrow_mut();
            draws.reach(name, resamples, n);
            let mut drawn = Vec::with_capacity(n);
            let median = |resample| {
                drawn.clear();
                drawn.extend(
                    draws.of(name, resample, n).map(|(bits, noise)| group.values[place(bits, n)] + noise * group.noise),
                );
                group.back(median_of(&mut drawn))
            };
            (0..resamples).map(median).collect()
        })
    }
}
