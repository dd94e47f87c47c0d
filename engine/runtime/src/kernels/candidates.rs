//! `candidates.wesl`: the draft's best continuations of each row.

use bytemuck::{Pod, Zeroable};
use understory_protocol::{KernelSet, Result, Sampling};

use super::Builder;
use crate::gpu::{Dispatch, Grid};

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

pub async fn candidates(
    b: &mut Builder<'_>,
    params: &CandidatesParams,
    [logits, block_max, draft_state, state, seen, out]: [&wgpu::Buffer; 6],
) -> Result<Dispatch> {
    let buffers = [
        ("logits", logits),
        ("block_max", block_max),
        ("draft_state", draft_state),
        ("state", state),
        ("seen", seen),
        ("candidates", out),
    ];
    let grid = match b.kernel_set {
        KernelSet::Gpu => Grid::RowsY(1),
        KernelSet::Cpu => Grid::RowsFlat { per_row: 1, group: 8 },
    };
    let kernel_set = b.kernel_set.name();
    b.one("candidates", &[kernel_set], grid, params, &buffers).await
}
