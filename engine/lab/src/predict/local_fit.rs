//! The device at hand as a profile, from what plain requests to one loaded model took.
//!
//! Nothing but these requests is known of the device: its peaks are not measured, so the profile's rates are those that
//! explain the requests, and say nothing about what the device could do. It is made for other sizes of the same model; for
//! other models it is an extrapolation. Where there are sizes to spare, some are held out and tell its error.

use understory_model::config::ModelConfig;
use understory_protocol::formulas::median;
use understory_protocol::{Case, KvDtype, MeasuredRequest, PassTiling, Precision};

use super::DeviceProfile;
use super::device::Tflops;
use super::fit::{Observation, Subject, errors, fit};
use super::operators::{KeyTiles, Pass};
use super::prediction::{numerics, prefill};
use super::roofline::PassCost;

/// Prompt lengths that a fit needs at least, and how many times the longest must be the shortest.
const LEAST_SIZES: usize = 4;
const LEAST_SPAN: usize = 8;
/// Sizes from which on every third one is held out.
const ENOUGH_SIZES: usize = 7;

/// This engine on a device with such peaks (GB/s, TFLOP/s in f32), each of them reached.
pub fn this_engine(
    label: String,
    tiling: PassTiling,
    (bandwidth_gb_s, tflops): (f64, f64),
    source: &str,
) -> DeviceProfile {
    DeviceProfile {
        name: "calibrated".into(),
        label,
        tflops: Tflops { f32: Some(tflops), ..Tflops::default() },
        bandwidth_gb_s,
        memory_gb: None,
        power_w: None,
        link_gb_s: None,
        dispatch_us: None,
        pass_us: None,
        sync_us: None,
        score_flops: None,
        efficiency: Default::default(),
        kv_read: Default::default(),
        f32_activations: true,
        kv_bytes: Some(KvDtype::of(tiling.kernels).bytes() as f64),
        split_keys: Some(tiling.split_keys),
        key_tiles: tiling.key_tile.map(|[keys, queries]| KeyTiles { keys, queries }),
        // As many rows as the engine takes together.
        chunk: Some(tiling.chunk),
        sources: [("all".to_owned(), source.to_owned())].into(),
        unverified: Vec::new(),
    }
}

/// The fitted profile, and how well it explains the sizes that were measured.
#[derive(Clone, Debug)]
pub struct Fitted {
    pub profile: DeviceProfile,
    pub sizes: Vec<FittedSize>,
}

#[derive(Clone, Copy, Debug)]
pub struct FittedSize {
    pub at: Observation,
    /// not used in the fit
    pub held_out: bool,
    /// predicted / measured - 1
    pub ttft_error: f64,
    pub tpot_error: f64,
}

impl Fitted {
    /// Medians of the absolute errors of TTFT and of TPOT, over the sizes held out or over the others; `None`: there are
    /// none.
    pub fn errors(&self, held_out: bool) -> Option<(f64, f64)> {
        let of = self.sizes.iter().filter(|size| size.held_out == held_out);
        let (ttft, tpot): (Vec<f64>, Vec<f64>) = of.map(|size| (size.ttft_error.abs(), size.tpot_error.abs())).unzip();
        (!ttft.is_empty()).then(|| (median(&ttft), median(&tpot)))
    }

    /// Whether the size of `measured` was not used in the fit.
    pub fn held_out(&self, measured: &MeasuredRequest) -> bool {
        let is = |size: &FittedSize| (size.at.input, size.at.output) == (measured.input, measured.output);
        self.sizes.iter().any(|size| size.held_out && is(size))
    }
}

/// The least of each size's times: what else goes on only ever adds.
pub fn sizes(measured: &[MeasuredRequest]) -> Vec<Observation> {
    let mut sizes: Vec<Observation> = Vec::new();
    for &MeasuredRequest { input, output, ttft_ms, tpot_ms } in measured {
        let Some(ttft_ms) = ttft_ms else { continue };
        match sizes.iter_mut().find(|size| (size.input, size.output) == (input, output)) {
            Some(known) => {
                known.ttft_ms = known.ttft_ms.min(ttft_ms);
                known.tpot_ms = known.tpot_ms.min(tpot_ms);
            }
            None => sizes.push(Observation { model: 0, input, output, ttft_ms, tpot_ms }),
        }
    }
    sizes.retain(|size| size.ttft_ms > 0.0 && size.tpot_ms > 0.0);
    sizes.sort_by_key(|size| (size.input, size.output));
    sizes
}

/// Why `measured` does not say enough, if it does not.
pub fn missing(measured: &[MeasuredRequest]) -> Option<String> {
    let mut inputs: Vec<usize> = sizes(measured).iter().map(|size| size.input).collect();
    inputs.dedup();
    let spans = inputs.first().zip(inputs.last()).is_some_and(|(first, last)| *last >= LEAST_SPAN * first);
    (inputs.len() < LEAST_SIZES || !spans).then(|| {
        format!(
            "this device is not measured yet: {} of plain requests to the loaded model were seen; expected \
             {LEAST_SIZES} or more, the longest {LEAST_SPAN} times the shortest",
            match inputs.len() {
                1 => "1 prompt length".into(),
                n => format!("{n} prompt lengths"),
            }
        )
    })
}

/// Fits the device to `measured`, which must not be [`missing`] anything.
pub fn fit_here(
    (config, dtype): (&ModelConfig, Precision),
    (device, tiling): (&str, PassTiling),
    measured: &[MeasuredRequest],
) -> Fitted {
    let all = sizes(measured);
    let spare = all.len() >= ENOUGH_SIZES;
    let is_held_out = |nth: usize| spare && nth % 3 == 2 && nth + 1 < all.len();
    let used: Vec<_> = all.iter().enumerate().filter(|(nth, _)| !is_held_out(*nth)).map(|(_, size)| *size).collect();
    let source = format!(
        "fitted to {} sizes of plain requests in this session; peaks were not measured, so rates are what these requests \
         reached",
        used.len()
    );
    let start =
        this_engine(format!("{device}, {} kernels, as fitted", tiling.kernels.name()), tiling, (1.0, 1.0), &source);
    let reached = most_reached((config, dtype), &start, &used);
    let start = DeviceProfile {
        bandwidth_gb_s: reached.0,
        tflops: Tflops { f32: Some(reached.1), ..Tflops::default() },
        ..start
    };
    let subjects = [Subject { config, dtype }];
    let profile = fit(&subjects, &used, &start);
    let found = errors(&subjects, &profile, &all);
    let size = |(nth, (at, (ttft_error, tpot_error))): (usize, (Observation, (f64, f64)))| FittedSize {
        at,
        held_out: is_held_out(nth),
        ttft_error,
        tpot_error,
    };
    Fitted { profile, sizes: all.iter().copied().zip(found).enumerate().map(size).collect() }
}

/// The highest rates among `sizes`: GB/s of steps, TFLOP/s of prompts.
fn most_reached(
    (config, dtype): (&ModelConfig, Precision),
    profile: &DeviceProfile,
    sizes: &[Observation],
) -> (f64, f64) {
    let rates = sizes.iter().map(|size| {
        let &Observation { input, output, ttft_ms, tpot_ms, .. } = size;
        let case = Case { dtype, input, output, batch: 1, chunk: None, tensor_parallel: 1, lora: None };
        let step = PassCost::of(config, profile, &numerics(&case, profile), &Pass::step(input + output / 2, 1));
        (step.bytes / tpot_ms / 1e6, prefill(config, profile, &case).flops / ttft_ms / 1e9)
    });
    rates.fold((0.0, 0.0), |most: (f64, f64), rate| (most.0.max(rate.0), most.1.max(rate.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CPU_TILING;

    fn measured(input: usize, ttft_ms: Option<f64>, tpot_ms: f64) -> MeasuredRequest {
        MeasuredRequest { input, output: 16, ttft_ms, tpot_ms }
    }

    /// It would catch a mean in place of the least, and a prompt half in the cache taken for a fast one.
    #[test]
    fn a_size_is_its_least_disturbed_request() {
        let all = [measured(64, Some(9.0), 2.0), measured(8, Some(3.0), 1.0), measured(64, Some(7.0), 2.5)];
        let found = sizes(&all);
        assert_eq!((found.len(), found[0].input), (2, 8));
        assert_eq!((found[1].ttft_ms, found[1].tpot_ms), (7.0, 2.0));
        assert!(sizes(&[measured(64, None, 2.0)]).is_empty());
    }

    #[test]
    fn few_or_equal_sizes_are_not_enough() {
        let of = |inputs: &[usize]| inputs.iter().map(|&n| measured(n, Some(1.0), 1.0)).collect::<Vec<_>>();
        assert!(missing(&[]).unwrap().contains("0 prompt lengths"));
        assert!(missing(&of(&[100, 100, 100, 100, 100])).unwrap().contains("1 prompt length of"));
        assert!(missing(&of(&[100, 120, 140, 160])).is_some());
        assert!(missing(&of(&[8, 20, 40, 64])).is_none());
    }

    /// Times of a device of known costs, its peaks unknown to the fit: sizes that it was not fitted to are predicted. It
    /// would catch rates taken for peaks (the start), which miss short prompts by their dispatches.
    #[test]
    fn sizes_held_out_are_predicted() {
        let config = understory_model::MeasuredShape::Tales.config().unwrap();
        let mut truth = this_engine("truth".into(), CPU_TILING, (40.0, 0.5), "made up");
        truth.efficiency.compute = 0.4;
        truth.efficiency.memory = 0.6;
        truth.dispatch_us = Some(20.0);
        truth.pass_us = Some(100.0);
        truth.sync_us = Some(300.0);
        let dtype = Precision::F16;
        let times = |input: usize| {
            let case = Case { dtype, input, output: 16, batch: 1, chunk: None, tensor_parallel: 1, lora: None };
            let step = PassCost::of(&config, &truth, &numerics(&case, &truth), &Pass::step(input + 8, 1));
            measured(input, Some(prefill(&config, &truth, &case).time_ms + 0.3), step.time_ms)
        };
        let all: Vec<_> = [8, 20, 48, 100, 200, 320, 480, 800].map(times).into();
        let fitted = fit_here((&config, dtype), ("a device", CPU_TILING), &all);
        let held_out = fitted.sizes.iter().filter(|size| size.held_out);
        let inputs: Vec<usize> = held_out.map(|size| size.at.input).collect();
        assert_eq!((fitted.sizes.len(), inputs), (8, vec![48, 320]));
        let (ttft, tpot) = fitted.errors(true).unwrap();
        assert!(ttft < 0.05 && tpot < 0.05, "{ttft} {tpot}: {:?}", fitted.profile);
    }
}
