//! `sample.wesl` and the kernels before it: the choice of the next token and the step of the device's state, or the
//! choices at every row of a tree.

use bytemuck::{Pod, Zeroable};
use understory_protocol::{KernelSet, Result, Sampling};

use super::{Builder, WORKERS};
use crate::gpu::{Buffer, Dispatch, Gpu, Grid};

const DOING: &str = "sampling";
/// Levels of 8 bits of a threshold.
const DIGITS: usize = 4;
/// Words of the histograms of a row: for each level of both thresholds, a low and a high one for each digit.
const HISTOGRAM_WORDS: usize = 2 * DIGITS * 256 * 2;

/// The kernels' parameters; written anew for each request. Fields are those of `Params` in `lib/sampling.wesl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct SampleParams {
    vocab_size: u32,
    n_blocks: u32,
    n_entries: u32,
    top_k: u32,
    top_p: u32,
    min_p: f32,
    temperature: f32,
    penalty: f32,
    seed_lo: u32,
    seed_hi: u32,
    rows: u32,
    level: u32,
    first_level: u32,
    parts: u32,
    pad: [u32; 2],
}

impl SampleParams {
    fn new(sampling: &Sampling, vocab_size: usize, rows: bool, parts: u32) -> Self {
        let n_blocks = vocab_size.div_ceil(4) as u32;
        Self {
            vocab_size: vocab_size as u32,
            n_blocks,
            n_entries: n_blocks,
            top_k: sampling.top_k,
            // Saturates.
            top_p: (f64::from(sampling.top_p) * 2f64.powi(32)).round() as u32,
            min_p: sampling.min_p,
            temperature: sampling.temperature,
            penalty: sampling.repetition_penalty,
            seed_lo: sampling.seed as u32,
            seed_hi: (sampling.seed >> 32) as u32,
            rows: rows.into(),
            level: 0,
            first_level: 0,
            parts,
            pad: [0; 2],
        }
    }
}

/// The levels of the thresholds that `sampling` needs: top-k's, then top-p's.
fn levels(sampling: &Sampling, vocab_size: usize) -> std::ops::Range<usize> {
    let top_k = sampling.top_k > 0 && (sampling.top_k as usize) < vocab_size;
    let top_p = sampling.top_p < 1.0;
    let first = if top_k { 0 } else { DIGITS };
    let end = if top_p { 2 * DIGITS } else { DIGITS };
    first..end
}

/// The ways to choose.
pub struct Sampler {
    vocab_size: usize,
    rows: bool,
    parts: u32,
    penalise: Dispatch,
    /// the best of the block maxima
    greedy: Dispatch,
    peak: Dispatch,
    /// of both thresholds
    levels: Vec<Level>,
    score: Dispatch,
    /// the best of the scores
    best: Dispatch,
    _between: Vec<Buffer>,
}

struct Level {
    count: Dispatch,
    /// where threads count on their own
    sum: Option<Dispatch>,
}

impl Sampler {
    /// Any sampling for which no dispatch is left out, as far as the vocabulary allows.
    pub fn everything() -> Sampling {
        Sampling { temperature: 1.0, top_k: 1, top_p: 0.5, min_p: 0.0, repetition_penalty: 2.0, seed: 0 }
    }

    /// The dispatches that `sampling` needs, in order.
    pub fn choice<'a>(&'a self, sampling: &Sampling) -> impl Iterator<Item = &'a Dispatch> + use<'a> {
        self.steps(sampling).map(|(dispatch, _)| dispatch)
    }

    /// Sets the request's parameters.
    pub fn prepare(&self, gpu: &Gpu, sampling: &Sampling) {
        for (dispatch, params) in self.steps(sampling) {
            gpu.queue().write_buffer(&dispatch.params, 0, bytemuck::bytes_of(&params));
        }
    }

    /// The dispatch of a choice that is plain greedy.
    pub fn greedy(&self) -> &Dispatch {
        &self.greedy
    }

    pub fn all(&self) -> impl Iterator<Item = &Dispatch> {
        let levels = self.levels.iter().flat_map(|level| [&level.count].into_iter().chain(&level.sum));
        [&self.greedy, &self.penalise, &self.peak].into_iter().chain(levels).chain([&self.score, &self.best])
    }

    fn steps<'a>(&'a self, sampling: &Sampling) -> impl Iterator<Item = (&'a Dispatch, SampleParams)> + use<'a> {
        let params = SampleParams::new(sampling, self.vocab_size, self.rows, self.parts);
        let penalise = (sampling.repetition_penalty != 1.0).then_some((&self.penalise, params));
        let sampled = sampling.temperature != 0.0;
        let greedy = (!sampled).then_some((&self.greedy, params));
        let levels = if sampled { levels(sampling, self.vocab_size) } else { 0..0 };
        let first_level = levels.start as u32;
        let end = if levels.is_empty() { 0 } else { levels.end as u32 };
        let count = self.levels[levels].iter().zip(first_level..).flat_map(move |(of, level)| {
            let params = SampleParams { level, first_level, ..params };
            [&of.count].into_iter().chain(&of.sum).map(move |dispatch| (dispatch, params))
        });
        let score = SampleParams { level: end, first_level, ..params };
        let best = SampleParams { n_entries: self.parts, ..params };
        let peak = sampled.then_some((&self.peak, params));
        let last = sampled.then_some([(&self.score, score), (&self.best, best)]);
        penalise.into_iter().chain(greedy).chain(peak).chain(count).chain(last.into_iter().flatten())
    }
}

/// The choice from one row, which steps the state.
pub async fn sampler(
    b: &mut Builder<'_>,
    vocab_size: usize,
    [logits, block_max, state, tokens, history, seen]: [&wgpu::Buffer; 6],
) -> Result<Sampler> {
    let last = [("state", state), ("tokens", tokens), ("history", history), ("seen", seen)];
    make(b, vocab_size, None, [logits, block_max, state, seen], &last).await
}

/// The choice at each of up to `rows` rows of a tree, into `chosen`.
pub async fn row_sampler(
    b: &mut Builder<'_>,
    vocab_size: usize,
    rows: usize,
    [logits, block_max, state, chosen, seen]: [&wgpu::Buffer; 5],
) -> Result<Sampler> {
    make(b, vocab_size, Some(rows), [logits, block_max, state, seen], &[("state", state), ("chosen", chosen)]).await
}

/// `last`: what the last step of a choice has beside its entries. `rows`: `None`, one row in any pass.
async fn make(
    b: &mut Builder<'_>,
    vocab_size: usize,
    rows: Option<usize>,
    [logits, block_max, state, seen]: [&wgpu::Buffer; 4],
    last: &[(&str, &wgpu::Buffer)],
) -> Result<Sampler> {
    let set = b.kernel_set;
    let most_rows = rows.unwrap_or(1);
    let words = |per_row: usize| b.gpu.storage_deferred(DOING, (4 * most_rows * per_row) as u64);
    let workers = WORKERS as usize;
    let (peaks, bests) = (words(2 * workers)?, words(2 * workers)?);
    let (cuts, histogram) = (words(2 * DIGITS * 4)?, words(HISTOGRAM_WORDS)?);
    let slices = match set {
        KernelSet::Gpu => None,
        KernelSet::Cpu => Some(words(256 * 2 * workers)?),
    };
    let mut buffers: Vec<(&str, &wgpu::Buffer)> = vec![
        ("logits", logits),
        ("block_max", block_max),
        ("state", state),
        ("seen", seen),
        ("peaks", &peaks),
        ("cuts", &cuts),
        ("histogram", &histogram),
        ("bests", &bests),
    ];
    buffers.extend(slices.as_ref().map(|slices| ("slices", &**slices)));

    // `threads`: of a row on CPU adapters, 8 a workgroup.
    let grid = |on_gpu: u32, threads: u32| match (set, rows) {
        (KernelSet::Gpu, None) => Grid::Fixed([on_gpu, 1, 1]),
        (KernelSet::Gpu, Some(_)) => Grid::RowsY(on_gpu),
        (KernelSet::Cpu, None) => Grid::Fixed([threads.div_ceil(8), 1, 1]),
        (KernelSet::Cpu, Some(_)) => Grid::RowsFlat { per_row: threads, group: 8 },
    };
    let words_of_seen = (vocab_size.div_ceil(32) as u32).div_ceil(64);
    let penalise_grid = if rows.is_some() { Grid::RowsY(words_of_seen) } else { Grid::Fixed([words_of_seen, 1, 1]) };
    // A workgroup of 256 threads for 1024 tokens, and not so many that each has little to do beside what all do.
    let parts = match set {
        KernelSet::Gpu => (vocab_size.div_ceil(1024) as u32).clamp(1, WORKERS),
        KernelSet::Cpu => WORKERS,
    };
    let shared = grid(parts, parts);
    let set = set.name();
    let params = SampleParams::new(&Sampling::default(), vocab_size, rows.is_some(), parts);

    let features: &[&str] = if rows.is_some() { &[set, "rows"] } else { &[set] };
    let entries = |entries| [&[("entries", entries)], last].concat();
    let greedy = b.one("sample", features, grid(1, 1), &params, &entries(block_max)).await?;
    let best = b.one("sample", features, grid(1, 1), &params, &entries(&bests)).await?;
    let pipeline = b.pipelines.get_deferred(b.gpu, "penalise", &[]).await?;
    let penalise = b.uniform(pipeline, penalise_grid, &params, &buffers)?;
    let pipeline = b.pipelines.get_deferred(b.gpu, "sample_peak", &[set]).await?;
    let peak = b.uniform(pipeline, shared, &params, &buffers)?;
    let pipeline = b.pipelines.get_deferred(b.gpu, "sample_score", &[set]).await?;
    let score = b.uniform(pipeline, shared, &params, &buffers)?;
    let threshold = b.pipelines.get_deferred(b.gpu, "sample_threshold", &[set]).await?;
    let sum = match slices {
        Some(_) => Some(b.pipelines.get_deferred(b.gpu, "sample_sum", &[set]).await?),
        None => None,
    };
    let level = |_| -> Result<Level> {
        let sum = sum.clone().map(|sum| b.uniform(sum, grid(32, 256), &params, &buffers));
        Ok(Level { count: b.uniform(threshold.clone(), shared, &params, &buffers)?, sum: sum.transpose()? })
    };
    let levels = (0..2 * DIGITS).map(level).collect::<Result<_>>()?;
    let between = [peaks, bests, cuts, histogram].into_iter().chain(slices).collect();
    Ok(Sampler {
        vocab_size,
        rows: rows.is_some(),
        parts,
        penalise,
        greedy,
        peak,
        levels,
        score,
        best,
        _between: between,
    })
}
