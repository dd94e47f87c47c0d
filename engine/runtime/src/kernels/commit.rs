//! `commit.wesl` and its forms for CPU adapters: KV rows of the accepted path move into place.

use bytemuck::{Pod, Zeroable};
use understory_protocol::{KernelSet, Result};

use super::{Builder, whole};
use crate::gpu::{Buffer, Dispatch, Grid, Words};

const DOING: &str = "planning a pass";

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    words: u32,
    pad: [u32; 3],
}

/// Layers that one dispatch moves: a stage binds eight storage buffers at most, and writes four textures.
fn layers_together(kernel_set: KernelSet) -> usize {
    match kernel_set {
        KernelSet::Gpu => 3,
        KernelSet::Cpu => 2,
    }
}

/// Dispatches, and room for the rows between the two halves of a move.
#[derive(Default)]
pub struct Commit {
    pub dispatches: Vec<Dispatch>,
    _rows: Option<Buffer>,
}

/// The move in K and V of each of `layers`. `state` is the target's; `draft`: `layers` are the draft's. `row`: bytes of a row; `rows`:
/// those that a path may have.
pub async fn commit(
    b: &mut Builder<'_>,
    layers: &[[&Words; 2]],
    [row, rows]: [usize; 2],
    state: &wgpu::Buffer,
    draft: bool,
) -> Result<Commit> {
    // A CPU adapter's texels hold 16.
    let word = if b.kernel_set == KernelSet::Gpu { 8 } else { 16 };
    let params = Params { words: (row / word) as u32, pad: [0; 3] };
    let grid = Grid::Fixed([params.words.div_ceil(64), 1, 1]);
    let together = layers_together(b.kernel_set);
    let between = match b.kernel_set {
        KernelSet::Gpu => None,
        KernelSet::Cpu => Some(b.gpu.storage_deferred(DOING, (2 * together * rows * row) as u64)?),
    };
    let kernels: &[_] = if between.is_some() { &["commit_gather", "commit_scatter"] } else { &["commit"] };
    let mut dispatches = Vec::new();
    for group in layers.chunks(together) {
        let mut resources = whole(&[("state", state)]);
        resources.extend(between.as_ref().map(|rows| ("rows", rows.as_entire_binding())));
        for (layer, names) in group.iter().zip([["k0", "v0"], ["k1", "v1"], ["k2", "v2"]]) {
            resources.extend(names.into_iter().zip(layer.map(Words::binding)));
        }
        let mut features = vec![["layers1", "layers2", "layers3"][group.len() - 1]];
        features.extend((b.kernel_set == KernelSet::Cpu).then_some("cpu"));
        features.extend(draft.then_some("draft"));
        for kernel in kernels {
            dispatches.push(b.one_with(kernel, &features, grid, &params, &resources).await?);
        }
    }
    Ok(Commit { dispatches, _rows: between })
}
