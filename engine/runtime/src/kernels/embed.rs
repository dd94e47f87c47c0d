//! `embed.wesl`: tokens to rows of the residual stream.

use bytemuck::{Pod, Zeroable};
use understory_protocol::Result;

use super::Builder;
use crate::device_weights::Matrix;
use crate::gpu::{Dispatch, Grid};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    k8: u32,
    width: u32,
    row0: u32,
    row_count: u32,
    scale: f32,
    high: u32,
    scales: u32,
    pad: u32,
}

/// `X[m] = E[tokens[m]] * scale (+ P[position of row m])`; one dispatch for each part of the table.
pub async fn embed(
    b: &mut Builder<'_>,
    table: &Matrix,
    positions: Option<&wgpu::Buffer>,
    [width, scale]: [f32; 2],
    [tokens, state, x, out_stats]: [&wgpu::Buffer; 4],
) -> Result<Vec<Dispatch>> {
    let width = width as u32;
    let mut dispatches = Vec::new();
    for part in &table.parts {
        let features = [part.form.feature(), b.kernel_set.name(), b.norm_feature()];
        let with = |feature| features.iter().copied().chain(positions.map(|_| feature)).collect::<Vec<_>>();
        let [features, tree] = [with("positions"), with("tree")];
        let constants = part.form.constants();
        let params = Params {
            k8: table.k8,
            width,
            row0: part.row0,
            row_count: 4 * part.blocks,
            scale,
            high: part.planes.high,
            scales: part.planes.scales,
            pad: 0,
        };
        let mut buffers: Vec<(&str, &wgpu::Buffer)> =
            vec![("w", &part.buffer), ("tokens", tokens), ("state", state), ("x", x), ("out_stats", out_stats)];
        buffers.extend(positions.map(|p| ("pos_table", p)));
        let grid = Grid::RowsY(width.div_ceil(4).div_ceil(64));
        let one = b.pipelines.get_with(b.gpu, "embed", &features, &constants).await?;
        let tree = b.pipelines.get_deferred_with(b.gpu, "embed", &tree, &constants).await?;
        dispatches.push(b.uniform(one, grid, &params, &buffers)?.with_tree(tree));
    }
    Ok(dispatches)
}
