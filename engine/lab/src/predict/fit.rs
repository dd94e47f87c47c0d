//! A device profile from what requests took on the device: the shares of its measured peaks that products and attention
//! reach, and what a dispatch, a pass and the wait for one cost.
//!
//! It takes times that someone else measured, one a size, and runs the same roofline that predicts, so what it cannot express (a
//! cache that is left, a clock that sinks) stays as an error. [`errors`] says how large that is, and should be asked about
//! sizes that were not used in fitting.

use serde::{Deserialize, Serialize};
use understory_model::config::ModelConfig;
use understory_protocol::{Case, Precision};

use super::DeviceProfile;
use super::device::Share;
use super::operators::Pass;
use super::prediction::{numerics, prefill};
use super::roofline::PassCost;
use super::simplex::least;

/// Simplex steps of a fit, which starts anew once from where it ended.
const STEPS: usize = 800;
/// Squared logarithmic error at which a point begins to count by its distance instead: one disturbed point among many.
const OUTLIER: f64 = 0.2;
/// Pull of each number to where it started, for those that the points say nothing about.
const PULL: f64 = 1e-3;

/// What one size took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// index of the model among those that were measured
    pub model: usize,
    pub input: usize,
    pub output: usize,
    pub ttft_ms: f64,
    pub tpot_ms: f64,
}

/// A measured model.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub config: &'a ModelConfig,
    pub dtype: Precision,
}

impl Subject<'_> {
    /// TTFT and TPOT of `at` on `profile`, the latter at the middle of the output.
    fn times(&self, profile: &DeviceProfile, at: &Observation) -> (f64, f64) {
        let case = Case {
            dtype: self.dtype,
            input: at.input,
            output: at.output,
            batch: 1,
            chunk: None,
            tensor_parallel: 1,
            lora: None,
        };
        let ttft = prefill(self.config, profile, &case).time_ms + profile.sync_us.unwrap_or(0.0) / 1e3;
        let step = Pass::step(at.input + at.output / 2, 1);
        (ttft, PassCost::of(self.config, profile, &numerics(&case, profile), &step).time_ms)
    }
}

/// `predicted / measured - 1` of TTFT and of TPOT, for each of `observations`.
pub fn errors(subjects: &[Subject], profile: &DeviceProfile, observations: &[Observation]) -> Vec<(f64, f64)> {
    let of = |at: &Observation| {
        let (ttft, tpot) = subjects[at.model].times(profile, at);
        (ttft / at.ttft_ms - 1.0, tpot / at.tpot_ms - 1.0)
    };
    observations.iter().map(of).collect()
}

/// `start` with the efficiencies and costs that explain `observations` best. Its peaks stay as they are: they should be
/// what the device was measured to do at most.
pub fn fit(subjects: &[Subject], observations: &[Observation], start: &DeviceProfile) -> DeviceProfile {
    // The overlap as odds; the last are the FLOP of a score.
    let begin = [0.5f64, 0.3, 0.3, 0.1, 10.0, 300.0, 1.0, 100.0, 20.0].map(f64::ln);
    let profile = |x: &[f64]| {
        let mut profile = start.clone();
        profile.efficiency.compute = x[0].exp();
        profile.efficiency.memory = x[1].exp();
        profile.efficiency.attention = Some(Share { compute: x[2].exp(), memory: x[3].exp() });
        profile.dispatch_us = Some(x[4].exp());
        profile.sync_us = Some(x[5].exp());
        profile.pass_us = Some(x[7].exp());
        profile.score_flops = Some(x[8].exp());
        profile.efficiency.overlap = 1.0 / (1.0 + (-x[6]).exp());
        profile
    };
    let loss = |x: &[f64]| {
        let profile = profile(x);
        let of = |at: &Observation| {
            let (ttft, tpot) = subjects[at.model].times(&profile, at);
            soft((ttft / at.ttft_ms).ln()) + soft((tpot / at.tpot_ms).ln())
        };
        let pull: f64 = x.iter().zip(begin).map(|(x, at)| (x - at).powi(2)).sum();
        observations.iter().map(of).sum::<f64>() / observations.len().max(1) as f64 + PULL * pull
    };
    // From several beginnings: where one of computing and moving hides the other whole, changing that one changes nothing.
    let from = |(attention, odds): (f64, f64)| {
        let mut begin = begin;
        begin[3] = f64::ln(attention);
        begin[6] = f64::ln(odds);
        let once = least(&begin, 1.0, STEPS, loss);
        least(&once, 0.5, STEPS, loss)
    };
    let ends = [(0.5, 1.0), (0.02, 1.0), (0.5, 9.0), (0.02, 9.0)].map(from);
    let best = ends.iter().min_by(|a, b| loss(a).total_cmp(&loss(b)));
    profile(best.expect("there are four"))
}

/// Huber's loss.
fn soft(error: f64) -> f64 {
    let size = error.abs();
    if size <= OUTLIER { size * size } else { OUTLIER * (2.0 * size - OUTLIER) }
}

#[cfg(test)]
mod tests {
    use super::super::device::device;
    use super::super::models::model;
    use super::*;

    /// Times made by a device of known costs: the fit must find them, and predict other sizes. It would catch the
    /// dispatches left out of the passes.
    #[test]
    fn a_known_device_is_found_again() {
        let small = understory_model::MeasuredShape::Tales.config().unwrap();
        let large = model("smollm2-135m").unwrap().unwrap().config().unwrap();
        let subjects = [&small, &large].map(|config| Subject { config, dtype: Precision::F16 });
        let start = DeviceProfile { f32_activations: true, chunk: Some(64), ..device("apple-m1").unwrap().unwrap() };
        let mut truth = start.clone();
        truth.efficiency.compute = 0.3;
        truth.efficiency.memory = 0.8;
        truth.efficiency.attention = Some(Share { compute: 0.1, memory: 0.4 });
        truth.efficiency.overlap = 0.5;
        truth.dispatch_us = Some(12.0);
        truth.pass_us = Some(80.0);
        truth.sync_us = Some(250.0);
        truth.score_flops = Some(60.0);
        let observe = |model: usize, input: usize| {
            let mut at = Observation { model, input, output: 16, ttft_ms: 0.0, tpot_ms: 0.0 };
            (at.ttft_ms, at.tpot_ms) = subjects[model].times(&truth, &at);
            at
        };
        let used: Vec<_> = [(0, 8), (0, 64), (0, 500), (1, 16), (1, 256), (1, 900)].map(|(m, n)| observe(m, n)).into();
        let fitted = fit(&subjects, &used, &start);
        let other: Vec<_> = [(0, 30), (0, 200), (1, 100), (1, 600)].map(|(m, n)| observe(m, n)).into();
        for (ttft, tpot) in errors(&subjects, &fitted, &other) {
            assert!(ttft.abs() < 0.03 && tpot.abs() < 0.03, "{ttft} {tpot}: {fitted:?}");
        }
        assert!((fitted.dispatch_us.unwrap() / 12.0 - 1.0).abs() < 0.2, "{fitted:?}");
    }
}
