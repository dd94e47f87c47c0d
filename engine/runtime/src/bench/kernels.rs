//! Every kernel at the shapes of one model, and the verify curve.
//!
//! A product is measured as a model runs it: layer after layer, each with weights of its own, so that a cache that
//! could hold one layer does not flatter the device. Of a large model as many layers are made as take 1 GiB. The
//! activations are those of one layer; they lie in the caches in a model, too.

use std::collections::HashMap;

use understory_model::MeasuredShape;
use understory_model::config::{ModelConfig, NormKind};
use understory_model::weights::{ModelWeights, Slot};
use understory_protocol::formulas::median;
use understory_protocol::{Dtype, KernelSet, Result};
use web_time::Instant;

use super::operands::Operands;
use super::products::{Activations, Made, Spec, make};
use super::report::{KernelReport, KernelRow, VerifyPoint};
use super::stopwatch::Stopwatch;
use super::{copy_bandwidth, peak_arithmetic};
use crate::device_weights::Form;
use crate::gpu::{Dispatch, Gpu, Pipelines, RowClass, record};
use crate::kernels::state::STATE_WORDS;
use crate::kernels::{Builder, stored_forms};

/// Bytes of weights that no cache holds.
pub(super) const BEYOND_CACHES: u64 = 1 << 30;
/// Rows of the verification in the table.
pub const ROUND_ROWS: usize = 8;
/// Rows of the products in the table: decoding, verification, and a chunk of prefill where it has a kernel.
const ROWS: [usize; 3] = [1, ROUND_ROWS, 64];
/// Those of the kernels around them.
pub(super) const AROUND_ROWS: [usize; 2] = [1, ROUND_ROWS];
const PREFILL_ROWS: usize = 256;
const VERIFY_ROWS: [usize; 13] = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64];
const VERIFY_ROUNDS: usize = 9;
const VERIFY_BUDGET_MS: f64 = 20e3;

/// What to measure.
#[derive(Clone, Debug)]
pub struct KernelOptions {
    /// `None`: a shape by the adapter
    pub subject: Option<Subject>,
    /// `None`: the adapter's
    pub kernel_set: Option<KernelSet>,
    pub dtype: Dtype,
}

/// The model at whose sizes kernels are measured.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: String,
    pub config: ModelConfig,
    /// How matrices are stored; of those not named here the options' `dtype` says it.
    pub forms: HashMap<Slot, Form>,
}

impl Subject {
    /// # Errors
    /// None in practice.
    pub fn of_shape(shape: MeasuredShape) -> Result<Self> {
        Ok(Self { name: shape.name().into(), config: shape.config()?, forms: HashMap::new() })
    }

    /// Sizes of a model and the forms in which its matrices are kept with `dtype`; where a matrix has parts in several,
    /// that of the first.
    pub fn of_model(name: String, config: ModelConfig, weights: &ModelWeights<'_>, dtype: Dtype) -> Self {
        let forms = {
            let stored = stored_forms(&config, weights, dtype);
            let form = |slot: &Slot| Some((*slot, *stored(*slot, weights.shape(*slot)?[1]).first()?));
            weights.slots().iter().filter_map(form).collect()
        };
        Self { name, config, forms }
    }

    fn form(&self, slot: Slot, cols: usize, dtype: Dtype) -> Form {
        self.forms.get(&slot).copied().unwrap_or_else(|| Form::of(dtype, cols))
    }
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
    let subject = match &options.subject {
        Some(subject) => subject.clone(),
        None => Subject::of_shape(MeasuredShape::for_adapter(gpu.report()))?,
    };
    let kernel_set = options.kernel_set.unwrap_or(gpu.report().profile);
    let config = subject.config.clone();
    let specs = Spec::of_layer(&config, kernel_set)
        .map(|spec| spec.stored(|slot, cols| subject.form(slot, cols, options.dtype)));
    let head = Spec::head(&config, kernel_set).stored(|slot, cols| match config.tie_word_embeddings {
        true => subject.form(Slot::Embedding, cols, options.dtype),
        false => subject.form(slot, cols, options.dtype),
    });
    let layer_bytes: u64 = specs.iter().map(Spec::weight_bytes).sum();
    let layers = (BEYOND_CACHES.div_ceil(layer_bytes) as usize).clamp(1, config.n_layers());
    let copy = copy_bandwidth(gpu).await?;
    let peak = peak_arithmetic(gpu).await?;
    let mut operands = Operands::new(gpu);
    let state = operands.words(&[0; STATE_WORDS]).await?;
    let mut bench = Bench {
        gpu,
        config: &config,
        specs,
        head,
        table: subject.form(Slot::Embedding, config.hidden_size, options.dtype),
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
    let pass_us = |rows| pass_us(&bench.rows, rows, config.n_layers(), config.post_norms);
    let (token_us, round_us) = (pass_us(1), pass_us(ROUND_ROWS));
    Ok(KernelReport {
        shape: subject.name,
        token_us,
        round_us,
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
    specs: [Spec; 4],
    pub head: Spec,
    /// how the embedding is stored
    pub table: Form,
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

/// Microseconds of a pass over `n` rows with greedy choices by what takes them, at the shortest context: each kernel as
/// often as a pass has it.
fn pass_us(rows: &[KernelRow], n: usize, n_layers: usize, post_norms: bool) -> Vec<(String, f64)> {
    let mut parts: Vec<(String, f64)> = Vec::new();
    let mut seen_attention = false;
    for row in rows.iter().filter(|row| row.rows == n) {
        let times = match row.kernel.as_str() {
            "attention" if seen_attention => continue,
            "attention" => {
                seen_attention = true;
                n_layers
            }
            // Inside what attention took.
            "attention_reduce" => continue,
            "norm_residual" if !post_norms => continue,
            "norm_residual" => 2 * n_layers,
            "sample" if !row.shape.starts_with("greedy") => continue,
            "sample" | "embed" => 1,
            _ if row.shape.starts_with("lm_head") => 1,
            _ => n_layers,
        };
        let name = if row.kernel == "matmul" { row.shape.clone() } else { row.kernel.clone() };
        parts.push((name, times as f64 * row.time_us));
    }
    parts
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
        let activations = Activations::new(&mut self.operands, (self.config, self.kernel_set), spec, rows).await?;
        let mut b = Builder {
            gpu: self.gpu,
            pipelines: &mut self.pipelines,
            kernel_set: self.kernel_set,
            norm: self.config.norm.kind,
        };
        let mut all = Vec::with_capacity(copies);
        for _ in 0..copies {
            all.push(make(&mut b, &mut self.operands, self.config, spec, (&activations, &self.state)).await?);
        }
        Ok(all)
    }

    /// The layer's products, each alone for a few row counts, then together as the verify curve.
    async fn products(&mut self) -> Result<Vec<VerifyPoint>> {
        let most_rows = if self.kernel_set == KernelSet::Gpu { PREFILL_ROWS } else { ROWS[ROWS.len() - 1] };
        let mut layers: Vec<Vec<Made>> = Vec::new();
        for spec in self.specs.clone() {
            let made = self.made(&spec, self.layers, most_rows).await?;
            let prefill = (self.kernel_set == KernelSet::Gpu).then_some(PREFILL_ROWS);
            for rows in ROWS.into_iter().chain(prefill) {
                let kernel = if rows > 64 { "matmul_prefill" } else { "matmul" };
                let cost = spec.cost(rows);
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
