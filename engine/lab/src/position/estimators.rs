//! Estimators of the time that decoding takes, each tried on runs that it has not seen.

use serde::Serialize;
use understory_protocol::formulas::median;

use super::Trace;
use super::buckets::{COUNT, of_token};
use crate::statistics::quantile;

/// Parts that the rounds are divided into at most; each is held out once.
const FOLDS: usize = 10;
/// The last token that counts as early.
const EARLY: usize = 10;

/// How a run's decode time is foretold from step times of other runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// the mean step, for each step
    Mean,
    /// the mean step of each published range of tokens
    ByPosition,
    /// the mean step up to the tenth token, and after it
    EarlyLate,
    /// the step that 95 % of steps do not exceed, for each step
    Conservative,
}

impl Estimator {
    pub const ALL: [Estimator; 4] = [Self::Mean, Self::ByPosition, Self::EarlyLate, Self::Conservative];

    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::ByPosition => "by position",
            Self::EarlyLate => "early/late",
            Self::Conservative => "conservative",
        }
    }

    /// Which of its numbers foretells the step of `token`.
    fn class(self, token: usize) -> usize {
        match self {
            Self::Mean | Self::Conservative => 0,
            Self::ByPosition => of_token(token),
            Self::EarlyLate => usize::from(token > EARLY),
        }
    }

    /// ms a step of each class. One that no run reached takes the value of the nearest before it, else after it.
    pub(super) fn fit<'a>(self, traces: impl Iterator<Item = &'a Trace>) -> Vec<f64> {
        let mut classes: Vec<Vec<f64>> = vec![Vec::new(); COUNT];
        for (token, ms) in traces.flat_map(Trace::steps) {
            classes[self.class(token)].push(ms);
        }
        let value = |steps: &Vec<f64>| match self {
            _ if steps.is_empty() => None,
            Self::Conservative => quantile(steps, 0.95).ok().or_else(|| steps.iter().copied().reduce(f64::max)),
            _ => Some(steps.iter().sum::<f64>() / steps.len() as f64),
        };
        let values: Vec<Option<f64>> = classes.iter().map(value).collect();
        let nearest = |at: usize| values[..=at].iter().rev().chain(&values[at + 1..]).find_map(|value| *value);
        (0..COUNT).map(|at| nearest(at).unwrap_or(f64::NAN)).collect()
    }

    pub(super) fn predict(self, fitted: &[f64], steps: usize) -> f64 {
        (2..steps + 2).map(|token| fitted[self.class(token)]).sum()
    }
}

/// What an estimator is worth on runs that were not used in fitting it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldOut {
    pub estimator: Estimator,
    /// ms a step from all runs, of each of its classes that has steps of its own
    pub ms: Vec<f64>,
    /// runs foretold
    pub runs: usize,
    /// median of |predicted - measured| / measured
    pub error: f64,
    /// the largest of them
    pub worst: f64,
    /// median of predicted / measured - 1: above 0, it foretells too much
    pub bias: f64,
    /// P95 of measured / predicted: times this, a prediction holds for 95 % of runs; `None`: fewer than 20
    pub safety_factor: Option<f64>,
}

/// Every round held out once; what is foretold is the time from the first token to the last.
pub fn held_out(traces: &[Trace], rounds: &[usize]) -> Vec<HeldOut> {
    let folds = rounds.len().min(FOLDS);
    if folds < 2 {
        return Vec::new();
    }
    let fold_of = |trace: &Trace| rounds.binary_search(&trace.round).unwrap_or(0) % folds;
    let tried = |estimator: Estimator| {
        let mut ratios = Vec::new();
        for fold in 0..folds {
            let fitted = estimator.fit(traces.iter().filter(|trace| fold_of(trace) != fold));
            for trace in traces.iter().filter(|trace| fold_of(trace) == fold && trace.decode_ms() > 0.0) {
                ratios.push(trace.decode_ms() / estimator.predict(&fitted, trace.steps_ms.len()));
            }
        }
        ratios.retain(|ratio| ratio.is_finite());
        if ratios.is_empty() {
            return None;
        }
        let errors: Vec<f64> = ratios.iter().map(|ratio| (1.0 / ratio - 1.0).abs()).collect();
        let mut ms = estimator.fit(traces.iter());
        let mut reached: Vec<usize> =
            traces.iter().flat_map(Trace::steps).map(|step| estimator.class(step.0)).collect();
        reached.sort_unstable();
        reached.dedup();
        let mut class = 0..;
        ms.retain(|_| class.next().is_some_and(|class| reached.contains(&class)));
        Some(HeldOut {
            estimator,
            ms,
            runs: ratios.len(),
            error: median(&errors),
            worst: errors.iter().copied().fold(0.0, f64::max),
            bias: median(&ratios.iter().map(|ratio| 1.0 / ratio - 1.0).collect::<Vec<_>>()),
            safety_factor: quantile(&ratios, 0.95).ok(),
        })
    };
    Estimator::ALL.into_iter().filter_map(tried).collect()
}
