//! `commit.wesl`: KV rows of the accepted path move into place.

use bytemuck::{Pod, Zeroable};
use understory_protocol::Result;

use super::Builder;
use crate::cache::LayerCache;
use crate::gpu::{Dispatch, Grid};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    words: u32,
    pad: [u32; 3],
}

/// Layers that one dispatch moves: a stage binds eight storage buffers at most.
const LAYERS: usize = 3;

/// One dispatch for each three layers. `state` is the target's; `draft`: `layers` are the draft's. `row`: f32 of a row.
pub async fn commit(
    b: &mut Builder<'_>,
    layers: &[LayerCache],
    row: usize,
    state: &wgpu::Buffer,
    draft: bool,
) -> Result<Vec<Dispatch>> {
    let params = Params { words: row as u32 / 4, pad: [0; 3] };
    let grid = Grid::Fixed([params.words.div_ceil(64), 1, 1]);
    let mut dispatches = Vec::new();
    for group in layers.chunks(LAYERS) {
        let names = [("k0", "v0"), ("k1", "v1"), ("k2", "v2")];
        let mut buffers: Vec<(&str, &wgpu::Buffer)> = vec![("state", state)];
        for (layer, (k, v)) in group.iter().zip(names) {
            buffers.extend([(k, &*layer.k), (v, &*layer.v)]);
        }
        let mut features = vec![["layers1", "layers2", "layers3"][group.len() - 1]];
        features.extend(draft.then_some("draft"));
        dispatches.push(b.one("commit", &features, grid, &params, &buffers).await?);
    }
    Ok(dispatches)
}
