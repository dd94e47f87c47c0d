//! Every kernel at the shapes of one model, and the verify curve.
//!
//! A product is measured as a model runs it: layer after layer, each with weights of its own, so that a cache that
//! could hold one layer does not flatter the device. Of a large model as many layers are made as take 1 GiB. The
//! activations are those of one layer; they lie in the caches in a model, too.

use understory_model::MeasuredShape;
use understory_model::config::{ModelConfig, NormKind};
use understory_protocol::formulas::median;
use understory_protocol::{Dtype, KernelSet, Result};
use web_time::Instant;

use super::operands::Operands;
use super::products::{Activations, Made, Spec, make};
use super::report::{KernelReport, KernelRow, VerifyPoint};
use super::stopwatch::Stopwatch;
use super::{copy_bandwidth, peak_arithmetic};
use crate::gpu::{Dispatch, Gpu, Pipelines, RowClass, record};
use crate::kernels::Builder;
use crate::kernels::state::STATE_WORDS;

/// Bytes of weights that no cache holds.
const BEYOND_CACHES: u64 = 1 << 30;
/// Rows of the products in the table: decoding, verification, and a chunk of prefill where it has a kernel.
const ROWS: [usize; 3] = [1, 8, 64];
const PREFILL_ROWS: usize = 256;
const VERIFY_ROWS: [usize; 13] = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64];
const VERIFY_ROUNDS: usize = 9;
const VERIFY_BUDGET_MS: f64 = 20e3;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct KernelOptions {
    /// `None`: by the adapter
    pub shape: Option<MeasuredShape>,
    /// `None`: the adapter's
    pub kernel_set: Option<KernelSet>,
    pub dtype: Dtype,
}

/// Measures; `on_progress(done, total)` after each measurement.
///
/// # Errors
/// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::DeviceLost`].
pub async fn run(
    gpu: &Gpu,
    options: &KernelOptions,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<KernelReport> {
    let shape = options.shape.unwrap_or(MeasuredShape::for_adapter(gpu.report()));
    let kernel_set = options.kernel_set.unwrap_or(gpu.report().profile);
    let config = shape.config()?;
    let layer_bytes: u64 = Spec::of_layer(&config).iter().map(|s| s.weight_bytes(options.dtype)).sum();
    let layers = (BEYOND_CACHES.div_ceil(layer_bytes) as usize).clamp(1, config.n_layers());
    let copy = copy_bandwidth(gpu).await?;
    let peak = peak_arithmetic(gpu).await?;
    let mut operands = Operands::new(gpu);
    let state = operands.words(&[0; STATE_WORDS]).await?;
    let mut bench = Bench {
        gpu,
        config: &config,
        dtype: options.dtype,
        kernel_set,
        layers,
        limits: [copy.value, peak.value],
        pipelines: Pipelines::default(),
        operands,
        stopwatch: Stopwatch::new(gpu).await?,
        state,
        rows: Vec::new(),
        on_progress,
        done: 0,
    };
    bench.embed().await?;
    let verify = bench.products().await?;
    bench.rope().await?;
    bench.attention().await?;
    bench.norm_residual().await?;
    bench.head().await?;
    bench.sample().await?;
    Ok(KernelReport {
        shape,
        profile: kernel_set,
        dtype: options.dtype,
        shaders_hash: understory_shaders::hash().into(),
        layers,
        copy,
        peak,
        rows: bench.rows,
        verify,
    })
}

/// What the measurements share.
pub(super) struct Bench<'a> {
    pub gpu: &'a Gpu,
    pub config: &'a ModelConfig,
    pub dtype: Dtype,
    pub kernel_set: KernelSet,
    pub layers: usize,
    /// GB/s of a copy, GFLOP/s of arithmetic
    limits: [f64; 2],
    pipelines: Pipelines,
    pub operands: Operands<'a>,
    stopwatch: Stopwatch<'a>,
    pub state: wgpu::Buffer,
    rows: Vec<KernelRow>,
    on_progress: &'a mut dyn FnMut(usize, usize),
    done: usize,
}

/// The pass that dispatches are recorded for.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub rows: usize,
    pub base: usize,
    pub splits: u32,
}

impl Pass {
    pub fn rows(rows: usize) -> Self {
        Self { rows, base: 0, splits: 1 }
    }
}

/// What one operation moves and computes.
pub(super) struct Cost {
    pub bytes: u64,
    pub flops: Option<u64>,
}

/// Encodes `repeats` times all of `dispatches`.
fn encode<'d>(dispatches: &'d [&'d Dispatch], pass: Pass) -> impl FnMut(&mut wgpu::CommandEncoder, usize) + 'd {
    let class = match pass.rows {
        1 => RowClass::One,
        2..=64 => RowClass::Few,
        _ => RowClass::Many,
    };
    move |encoder, repeats| {
        let mut compute = encoder.begin_compute_pass(&Default::default());
        for _ in 0..repeats {
            record(&mut compute, dispatches.iter().copied(), class, pass.rows as u32, pass.splits);
        }
    }
}

pub(super) fn all(made: &[Made]) -> Vec<&Dispatch> {
    made.iter().flat_map(|m| &m.dispatches).collect()
}

impl Bench<'_> {
    fn tick(&mut self) {
        self.done += 1;
        let prefill = usize::from(self.kernel_set == KernelSet::Gpu);
        let total = 4 * (ROWS.len() + prefill) + VERIFY_ROWS.len() + self.n_around();
        (self.on_progress)(self.done, total);
    }

    pub fn builder(&mut self, norm: NormKind) -> Builder<'_> {
        Builder { gpu: self.gpu, pipelines: &mut self.pipelines, kernel_set: self.kernel_set, norm }
    }

    fn set_state(&self, pass: Pass) {
        let state = [pass.rows as u32, pass.base as u32];
        self.gpu.queue().write_buffer(&self.state, 0, bytemuck::cast_slice(&state));
    }

    /// Adds a row: `dispatches` hold `operations` of the kernel.
    pub async fn row(
        &mut self,
        (kernel, shape): (&'static str, String),
        dispatches: &[&Dispatch],
        operations: usize,
        pass: Pass,
        cost: Cost,
    ) -> Result<()> {
        self.set_state(pass);
        let samples_ms = self.stopwatch.samples_ms(&mut encode(dispatches, pass)).await?;
        let samples_us: Vec<f64> = samples_ms.iter().map(|ms| ms * 1e3 / operations as f64).collect();
        let time_us = median(&samples_us);
        let giga = |units: u64| units as f64 / time_us / 1e3;
        let [copy, peak] = self.limits;
        let gb_per_s = giga(cost.bytes);
        let gflop_per_s = cost.flops.map(giga);
        self.rows.push(KernelRow {
            kernel: kernel.into(),
            shape,
            rows: pass.rows,
            time_us,
            samples_us,
            bytes: cost.bytes,
            flops: cost.flops,
            gb_per_s,
            gflop_per_s,
            share_of_copy: gb_per_s / copy,
            share_of_peak: gflop_per_s.map(|g| g / peak),
        });
        self.tick();
        Ok(())
    }

    pub async fn made(&mut self, spec: &Spec, copies: usize, rows: usize) -> Result<Vec<Made>> {
        let activations = Activations::new(&mut self.operands, spec, rows).await?;
        let mut b = Builder {
            gpu: self.gpu,
            pipelines: &mut self.pipelines,
            kernel_set: self.kernel_set,
            norm: self.config.norm.kind,
        };
        let mut all = Vec::with_capacity(copies);
        for _ in 0..copies {
            all.push(make(&mut b, &mut self.operands, self.config, (spec, spec.form(self.dtype)), (&activations, &self.state)).await?);
        }
        Ok(all)
    }

    /// The layer's products, each alone for a few row counts, then together as the verify curve.
    async fn products(&mut self) -> Result<Vec<VerifyPoint>> {
        let most_rows = if self.kernel_set == KernelSet::Gpu { PREFILL_ROWS } else { ROWS[ROWS.len() - 1] };
        let mut layers: Vec<Vec<Made>> = Vec::new();
        for spec in Spec::of_layer(self.config) {
            let made = self.made(&spec, self.layers, most_rows).await?;
            let prefill = (self.kernel_set == KernelSet::Gpu).then_some(PREFILL_ROWS);
            for rows in ROWS.into_iter().chain(prefill) {
                let kernel = if rows > 64 { "matmul_prefill" } else { "matmul" };
                let cost = spec.cost(self.dtype, rows);
                self.row((kernel, spec.shape()), &all(&made), self.layers, Pass::rows(rows), cost).await?;
            }
            layers.push(made);
        }
        let in_order: Vec<&Dispatch> =
            (0..self.layers).flat_map(|i| layers.iter().flat_map(move |made| &made[i].dispatches)).collect();
        self.verify(&in_order).await
    }

    /// Rounds of all row counts, so that a drift of the device favours none.
    async fn verify(&mut self, layers: &[&Dispatch]) -> Result<Vec<VerifyPoint>> {
        let mut repeats = Vec::new();
        for rows in VERIFY_ROWS {
            self.set_state(Pass::rows(rows));
            repeats.push(self.stopwatch.calibrate(&mut encode(layers, Pass::rows(rows))).await?);
            self.tick();
        }
        let mut samples = vec![Vec::new(); VERIFY_ROWS.len()];
        let start = Instant::now();
        for round in 0..VERIFY_ROUNDS {
            if round >= 3 && start.elapsed().as_secs_f64() * 1e3 > VERIFY_BUDGET_MS {
                break;
            }
            for (i, rows) in VERIFY_ROWS.into_iter().enumerate() {
                self.set_state(Pass::rows(rows));
                let work = &mut encode(layers, Pass::rows(rows));
                let ms = self.stopwatch.submission_ms(repeats[i], work).await?;
                samples[i].push(ms * 1e3 / (repeats[i] * self.layers) as f64);
            }
        }
        let one = samples[0].clone();
        let point = |(rows, samples_us): (usize, Vec<f64>)| {
            let ratios: Vec<f64> = samples_us.iter().zip(&one).map(|(n, one)| n / one).collect();
            VerifyPoint { rows, time_us: median(&samples_us), ratio: median(&ratios), samples_us }
        };
        Ok(VERIFY_ROWS.into_iter().zip(samples).map(point).collect())
    }
}
