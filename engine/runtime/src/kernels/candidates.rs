//! `candidates.wesl` and `candidates_join.wesl`: the draft's best continuations of each row.

use bytemuck::{Pod, Zeroable};
use understory_protocol::{KernelSet, Result, Sampling};

use super::{Builder, WORKERS};
use crate::gpu::{Buffer, Dispatch, Gpu, Grid};

/// Candidates of a row.
pub const CANDIDATES: usize = 4;

/// The kernel's parameters; written anew for each request.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct CandidatesParams {
    vocab_size: u32,
    n_blocks: u32,
    n_shared: u32,
    seed: [u32; 2],
    temperature: f32,
    penalty: f32,
    sharpness: f32,
}

impl CandidatesParams {
    /// `vocab_size` of the draft, of which the target knows the first `n_shared`. At temperature 0 probabilities are those
    /// of `sharpness` times the logits.
    pub fn new(sampling: &Sampling, vocab_size: usize, n_shared: usize, sharpness: f32) -> Self {
        // The target's choice among one token is not moved by noise.
        let greedy = sampling.temperature == 0.0 || sampling.top_k == 1;
        Self {
            vocab_size: vocab_size as u32,
            n_blocks: vocab_size.div_ceil(4) as u32,
            n_shared: n_shared as u32,
            seed: [sampling.seed as u32, (sampling.seed >> 32) as u32],
            temperature: if greedy { 0.0 } else { sampling.temperature },
            penalty: sampling.repetition_penalty,
            sharpness,
        }
    }
}

/// The candidates of each row: those of parts of the vocabulary, then the best of them.
pub struct Candidates {
    parts: Dispatch,
    join: Dispatch,
    _parts: Buffer,
}

impl Candidates {
    /// In order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        [&self.parts, &self.join].into_iter()
    }

    /// Sets the request's parameters.
    pub fn prepare(&self, gpu: &Gpu, params: &CandidatesParams) {
        for dispatch in self.dispatches() {
            gpu.queue().write_buffer(&dispatch.params, 0, bytemuck::bytes_of(params));
        }
    }
}

/// Of up to `rows` rows.
pub async fn candidates(
    b: &mut Builder<'_>,
    params: &CandidatesParams,
    rows: usize,
    [logits, block_max, draft_state, state, seen, out]: [&wgpu::Buffer; 6],
) -> Result<Candidates> {
    let parts_buffer = b.gpu.storage("drafting", (rows * WORKERS as usize * 64) as u64).await?;
    let buffers = [
        ("logits", logits),
        ("block_max", block_max),
        ("draft_state", draft_state),
        ("state", state),
        ("seen", seen),
        ("parts", &parts_buffer),
        ("candidates", out),
    ];
    let kernel_set = b.kernel_set;
    let grid = |on_gpu: u32, threads: u32| match kernel_set {
        KernelSet::Gpu => Grid::RowsY(on_gpu),
        KernelSet::Cpu => Grid::RowsFlat { per_row: threads, group: 8 },
    };
    let set = [kernel_set.name()];
    let parts = b.one("candidates", &set, grid(WORKERS, WORKERS), params, &buffers).await?;
    let join = b.one("candidates_join", &set, grid(1, 1), params, &buffers).await?;
    Ok(Candidates { parts, join, _parts: parts_buffer })
}
