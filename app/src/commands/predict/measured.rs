//! This device as a profile: requests to the bundled models and to two made-up shapes are timed, and the roofline is fitted to them.
//!
//! Sizes take turns, so that what else goes on in the meantime meets all of them; a round before the first one that
//! counts warms up. What else goes on only ever adds, so the least of a size's samples is what is fitted and compared, as
//! in the measurement of speculation's costs; every sample is kept for the report. By how much the median of requests
//! exceeds the least is told beside it.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use understory_lab::predict::fit::{Observation, Subject, errors, fit};
use understory_lab::predict::local_fit::this_engine;
use understory_lab::predict::{DeviceProfile, Prediction};
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_protocol::formulas::median;
use understory_protocol::{Dtype, GenerateRequest, LoadOptions, Precision};
use understory_runtime::gpu::Gpu;
use understory_runtime::kernels::tiling;
use understory_runtime::{Engine, bench};

use super::made_up::{THIN, WIDE};
use crate::cli::{PrecisionArg, PredictArgs};
use crate::exit::usage;
use crate::models::{self, BUNDLED};
use crate::output::{self, Console};

/// Rounds that count, and milliseconds after which none begins beyond the least.
const ROUNDS: std::ops::RangeInclusive<usize> = 5..=25;
const BUDGET_MS: f64 = 25e3;
/// Tokens generated at each size.
const OUTPUT: usize = 24;
/// A size is asked for again within a round until this many milliseconds have passed, up to so many times.
const SHORT_MS: f64 = 60.0;
const AGAIN: usize = 4;
/// Prompt lengths that the profile is fitted to, for each of [`BUNDLED`], and of the made-up models.
const FITTED: [&[usize]; 2] = [&[4, 24, 64, 160, 480], &[40, 500]];
const FITTED_THIN: &[usize] = &[8, 200, 600];
const FITTED_WIDE: &[usize] = &[8, 100];
/// Those of `--check`: none of them is among the above.
const CHECKED: [usize; 6] = [12, 50, 100, 220, 360, 700];

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct ProfileCalibration {
    /// of a copy from buffer to buffer
    pub copy_gb_s: f64,
    pub peak_gflop_s: f64,
    pub disturbance: Disturbance,
    pub fitted: Vec<Size>,
    /// with --check: sizes that were not fitted
    pub checked: Vec<Size>,
}

/// One model at one size.
#[derive(Debug, Serialize)]
pub struct Size {
    pub model: String,
    pub input: usize,
    pub output: usize,
    /// the least of the samples
    pub ttft_ms: f64,
    /// the least of the requests' median times between tokens: TPOT, but for what disturbed single steps
    pub tpot_ms: f64,
    pub ttft_samples_ms: Vec<f64>,
    pub step_samples_ms: Vec<f64>,
    /// TPOT as it is defined
    pub tpot_samples_ms: Vec<f64>,
    /// predicted / measured - 1
    pub ttft_error: f64,
    pub tpot_error: f64,
    /// predicted, times the disturbance / the median of the samples - 1
    pub ttft_median_error: f64,
    pub tpot_median_error: f64,
}

/// What else goes on on this machine: the median of a size's requests over the least disturbed of them, at the median of
/// the fitted sizes. 1 on a machine that nothing disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Disturbance {
    pub ttft: f64,
    pub tpot: f64,
}

/// What the median of requests here is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Typical {
    pub ttft_ms: Option<f64>,
    /// `None`: the request has one token
    pub tpot_ms: Option<f64>,
}

impl Disturbance {
    fn of(fitted: &[Size]) -> Self {
        let middle = |ratio: fn(&Size) -> f64| median(&fitted.iter().map(ratio).collect::<Vec<_>>());
        Self {
            ttft: middle(|size| median(&size.ttft_samples_ms) / size.ttft_ms),
            tpot: middle(|size| median(&size.tpot_samples_ms) / size.tpot_ms),
        }
    }

    pub fn typical(self, prediction: &Prediction) -> Typical {
        Typical {
            ttft_ms: prediction.ttft_ms.map(|ms| self.ttft * ms),
            tpot_ms: prediction.tpot_ms.map(|ms| self.tpot * ms),
        }
    }
}

impl Size {
    /// Both errors of both times, from those of the fitted profile.
    fn judge(&mut self, (ttft_error, tpot_error): (f64, f64), disturbance: Disturbance) {
        let (ttft_ms, tpot_ms) = (self.ttft_ms * (1.0 + ttft_error), self.tpot_ms * (1.0 + tpot_error));
        (self.ttft_error, self.tpot_error) = (ttft_error, tpot_error);
        self.ttft_median_error = disturbance.ttft * ttft_ms / median(&self.ttft_samples_ms) - 1.0;
        self.tpot_median_error = disturbance.tpot * tpot_ms / median(&self.tpot_samples_ms) - 1.0;
    }
}

/// A model on the device, and what its requests took.
struct Runner {
    label: String,
    engine: Engine,
    config: ModelConfig,
    sizes: Vec<Size>,
}

impl Runner {
    async fn open(label: &str, files: &dyn ModelFiles, args: &PredictArgs, inputs: &[usize]) -> Result<Self> {
        let dtype = dtype(args)?;
        let gpu = Gpu::open(args.adapter).await?;
        let engine =
            Engine::open(gpu, files, &LoadOptions { dtype, kv_dtype: None, profile: None }, &mut |_| ()).await?;
        let config = engine.config().clone();
        let fits = |input: &&usize| **input + OUTPUT <= config.max_position_embeddings;
        let size = |&input: &usize| Size {
            model: label.into(),
            input,
            output: OUTPUT,
            ttft_ms: 0.0,
            tpot_ms: 0.0,
            ttft_samples_ms: Vec::new(),
            step_samples_ms: Vec::new(),
            tpot_samples_ms: Vec::new(),
            ttft_error: 0.0,
            tpot_error: 0.0,
            ttft_median_error: 0.0,
            tpot_median_error: 0.0,
        };
        let sizes = inputs.iter().filter(fits).map(size).collect();
        Ok(Self { label: label.into(), engine, config, sizes })
    }

    /// One request of size `nth`; its times count unless it is to `warm_up`.
    async fn request(&mut self, nth: usize, warm_up: bool) -> Result<()> {
        let vocab = self.config.vocab_size;
        let token = |i: usize| ((i * 7919 + 12) % vocab) as u32;
        let request = GenerateRequest::plain((0..self.sizes[nth].input).map(token).collect(), OUTPUT);
        self.engine.clear_cache();
        let generation = self.engine.generate(&request, &mut |_| std::ops::ControlFlow::Continue(())).await?;
        let metrics = generation.metrics;
        let gaps: Vec<f64> = metrics.emit_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (Some(ttft), Some(tpot)) = (metrics.engine_ttft_ms, metrics.tpot_ms) else {
            bail!("{}: nothing was generated", self.label)
        };
        if !warm_up {
            let size = &mut self.sizes[nth];
            size.ttft_samples_ms.push(ttft);
            size.step_samples_ms.push(median(&gaps));
            size.tpot_samples_ms.push(tpot);
        }
        Ok(())
    }
}

/// Measures this device and fits its profile; with `--check` also runs the model.
pub fn calibrate(args: &PredictArgs, console: &Console) -> Result<(DeviceProfile, ProfileCalibration)> {
    pollster::block_on(async {
        let mut runners = Vec::new();
        for (bundled, inputs) in BUNDLED.iter().zip(FITTED) {
            runners.push(Runner::open(bundled.name, bundled, args, inputs).await?);
        }
        for (shape, inputs) in [(THIN, FITTED_THIN), (WIDE, FITTED_WIDE)] {
            runners.push(Runner::open(shape.name, &shape.files(), args, inputs).await?);
        }
        let n_fitted = runners.len();
        if args.check {
            runners.push(checked(args, console).await?);
        }
        let bar = console.bar();
        bar.set_style(output::bar_style("{pos}/{len} s"));
        bar.set_message("measuring");
        let budget_ms = if args.check { 2.0 * BUDGET_MS } else { BUDGET_MS };
        bar.set_length((budget_ms / 1e3) as u64);
        let start = Instant::now();
        for round in 0..=*ROUNDS.end() {
            let elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
            if round > *ROUNDS.start() && elapsed_ms > budget_ms {
                break;
            }
            for runner in &mut runners {
                for nth in 0..runner.sizes.len() {
                    let began = Instant::now();
                    for _ in 0..AGAIN {
                        runner.request(nth, round == 0).await?;
                        if began.elapsed().as_secs_f64() * 1e3 > SHORT_MS {
                            break;
                        }
                    }
                    bar.set_position(start.elapsed().as_secs());
                }
            }
        }
        let gpu = runners[0].engine.gpu();
        // Peaks: the least disturbed samples.
        let most = |samples: Vec<f64>| samples.into_iter().fold(0.0, f64::max);
        let copy = most(bench::copy_bandwidth(gpu).await?.samples);
        let peak = most(bench::peak_arithmetic(gpu).await?.samples);
        bar.finish_and_clear();
        let (report, kernels_for) = (gpu.report(), runners[0].engine.kernel_set());
        let peaks = this_engine(
            format!("{} ({}), {} kernels, as measured", report.name, report.backend, kernels_for.name()),
            tiling(kernels_for),
            (copy, peak / 1e3),
            "measured on this device by this program",
        );
        for size in runners.iter_mut().flat_map(|runner| &mut runner.sizes) {
            size.ttft_ms = least(&size.ttft_samples_ms);
            size.tpot_ms = least(&size.step_samples_ms);
        }
        let dtype = Precision::from(args.dtype);
        let observations = |runners: &[Runner]| -> Vec<Observation> {
            let of = |(model, runner): (usize, &Runner)| {
                let at = |size: &Size| {
                    let &Size { input, output, ttft_ms, tpot_ms, .. } = size;
                    Observation { model, input, output, ttft_ms, tpot_ms }
                };
                runner.sizes.iter().map(at).collect::<Vec<_>>()
            };
            runners.iter().enumerate().flat_map(of).collect()
        };
        let all = observations(&runners);
        let used = observations(&runners[..n_fitted]);
        let subjects: Vec<_> = runners.iter().map(|runner| Subject { config: &runner.config, dtype }).collect();
        let profile = fit(&subjects, &used, &peaks);
        let found = errors(&subjects, &profile, &all);
        let mut fitted: Vec<_> = runners.into_iter().flat_map(|runner| runner.sizes).collect();
        let mut checked = fitted.split_off(used.len());
        let disturbance = Disturbance::of(&fitted);
        for (size, errors) in fitted.iter_mut().chain(&mut checked).zip(found) {
            size.judge(errors, disturbance);
        }
        Ok((profile, ProfileCalibration { copy_gb_s: copy, peak_gflop_s: peak, disturbance, fitted, checked }))
    })
}

fn least(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The model itself, at sizes that are not fitted.
async fn checked(args: &PredictArgs, console: &Console) -> Result<Runner> {
    let found = models::find(&args.model, true, console).context("--check runs the model")?;
    let runner = Runner::open(&found.label, found.files.as_ref(), args, &CHECKED).await?;
    if runner.sizes.is_empty() {
        let context = runner.config.max_position_embeddings;
        bail!("--check: a context of {context} holds none of the sizes, {} tokens at least", CHECKED[0] + OUTPUT);
    }
    Ok(runner)
}

fn dtype(args: &PredictArgs) -> Result<Dtype> {
    match args.dtype {
        PrecisionArg::F16 => Ok(Dtype::F16),
        PrecisionArg::F32 => Ok(Dtype::F32),
        _ => {
            Err(usage("--calibrated measures this engine, which keeps weights in f16 or f32; give --dtype one of them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(ttft: [f64; 3], tpot: [f64; 3]) -> Size {
        Size {
            model: "tales".into(),
            input: 8,
            output: OUTPUT,
            ttft_ms: least(&ttft),
            tpot_ms: least(&tpot),
            ttft_samples_ms: ttft.into(),
            step_samples_ms: tpot.into(),
            tpot_samples_ms: tpot.into(),
            ttft_error: 0.0,
            tpot_error: 0.0,
            ttft_median_error: 0.0,
            tpot_median_error: 0.0,
        }
    }

    /// Means in place of medians, or a disturbance that knows the checked sizes, fail this.
    #[test]
    fn medians_are_predicted_by_the_disturbance_of_the_fitted_sizes() {
        let fitted = [
            size([12.0, 10.0, 90.0], [3.0, 2.0, 9.0]),
            size([20.0, 20.0, 20.0], [1.0, 1.0, 1.0]),
            size([50.0, 10.0, 50.0], [4.0, 2.0, 4.0]),
        ];
        let disturbance = Disturbance::of(&fitted);
        assert_eq!(disturbance, Disturbance { ttft: 1.2, tpot: 1.5 });
        let mut checked = size([100.0, 130.0, 120.0], [10.0, 20.0, 15.0]);
        checked.judge((0.1, -0.2), disturbance);
        assert_eq!((checked.ttft_error, checked.tpot_error), (0.1, -0.2));
        assert!((checked.ttft_median_error - 0.1).abs() < 1e-9, "132 ms of 120: {checked:?}");
        assert!((checked.tpot_median_error + 0.2).abs() < 1e-9, "12 ms of 15: {checked:?}");
    }
}
