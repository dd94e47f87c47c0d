//! `sample.wesl`: the choice of the next token and the step of the device's state, or the choices at every row of a
//! tree.

use bytemuck::{Pod, Zeroable};
use understory_protocol::{KernelSet, Result, Sampling};

use super::Builder;
use crate::gpu::{Dispatch, Gpu, Grid};

/// The kernel's parameters; written anew for each request.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct SampleParams {
    vocab_size: u32,
    n_blocks: u32,
    top_k: u32,
    seed_lo: u32,
    seed_hi: u32,
    temperature: f32,
    top_p: f32,
    min_p: f32,
    penalty: f32,
    pad: [u32; 3],
}

impl SampleParams {
    pub fn new(sampling: &Sampling, vocab_size: usize) -> Self {
        Self {
            vocab_size: vocab_size as u32,
            n_blocks: vocab_size.div_ceil(4) as u32,
            top_k: sampling.top_k,
            seed_lo: sampling.seed as u32,
            seed_hi: (sampling.seed >> 32) as u32,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            penalty: sampling.repetition_penalty,
            pad: [0; 3],
        }
    }
}

/// The two ways to choose.
pub struct Sampler {
    greedy: Dispatch,
    sampled: Dispatch,
}

impl Sampler {
    /// The dispatch that `sampling` needs.
    pub fn choice(&self, sampling: &Sampling) -> &Dispatch {
        match sampling.is_plain_greedy() {
            true => &self.greedy,
            false => &self.sampled,
        }
    }

    /// Sets the request's parameters.
    pub fn prepare(&self, gpu: &Gpu, sampling: &Sampling, vocab_size: usize) {
        let params = SampleParams::new(sampling, vocab_size);
        gpu.queue().write_buffer(&self.choice(sampling).params, 0, bytemuck::bytes_of(&params));
    }

    pub fn both(&self) -> [&Dispatch; 2] {
        [&self.greedy, &self.sampled]
    }
}

/// The choice from one row, which steps the state.
pub async fn sampler(
    b: &mut Builder<'_>,
    vocab_size: usize,
    [logits, block_max, state, tokens, history, seen]: [&wgpu::Buffer; 6],
) -> Result<Sampler> {
    let params = SampleParams::new(&Sampling::default(), vocab_size);
    let buffers = [
        ("logits", logits),
        ("block_max", block_max),
        ("state", state),
        ("tokens", tokens),
        ("history", history),
        ("seen", seen),
    ];
    let grid = Grid::Fixed([1, 1, 1]);
    let kernel_set = b.kernel_set.name();
    let sampled = b.pipelines.get_deferred(b.gpu, "sample", &[kernel_set]).await?;
    Ok(Sampler {
        greedy: b.one("sample", &[kernel_set, "greedy"], grid, &params, &buffers).await?,
        sampled: b.uniform(sampled, grid, &params, &buffers)?,
    })
}

/// The choice at each row of a tree, into `chosen`.
pub async fn row_sampler(
    b: &mut Builder<'_>,
    vocab_size: usize,
    [logits, block_max, state, chosen, seen]: [&wgpu::Buffer; 5],
) -> Result<Sampler> {
    let params = SampleParams::new(&Sampling::default(), vocab_size);
    let buffers = [("logits", logits), ("block_max", block_max), ("state", state), ("chosen", chosen), ("seen", seen)];
    let kernel_set = b.kernel_set.name();
    let workgroup_a_row = Grid::RowsY(1);
    let greedy_grid = match b.kernel_set {
        KernelSet::Gpu => workgroup_a_row,
        KernelSet::Cpu => Grid::RowsFlat { per_row: 1, group: 8 },
    };
    Ok(Sampler {
        greedy: b.one("sample", &[kernel_set, "greedy", "rows"], greedy_grid, &params, &buffers).await?,
        sampled: b.one("sample", &[kernel_set, "rows"], workgroup_a_row, &params, &buffers).await?,
    })
}
