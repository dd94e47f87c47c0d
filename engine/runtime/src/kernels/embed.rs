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
    has_next: u32,
}

/// `X[m] = E[tokens[m]] * scale (+ P[position of row m])`; one dispatch for each part of the table. Of `next` the first
/// norm's factor, where X times it is wanted, and room for that.
pub async fn embed(
    b: &mut Builder<'_>,
    table: &Matrix,
    positions: Option<&wgpu::Buffer>,
    [width, scale]: [f32; 2],
    [tokens, state, x, out_stats]: [&wgpu::Buffer; 4],
    next: (Option<&wgpu::Buffer>, &wgpu::Buffer),
) -> Result<Vec<Dispatch>> {
    let width = width as u32;
    let mut dispatches = Vec::new();
    for part in &table.parts {
        let features = [part.form.feature(), b.kernel_set.name(), b.norm_feature()];
        let features = features.into_iter().chain(part.store.feature());
        let with = |feature| features.clone().chain(positions.map(|_| feature)).collect::<Vec<_>>();
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
            has_next: next.0.is_some() as u32,
        };
        let uniform = b.gpu.uniform("kernel parameters", &params)?;
        let buffers = [("tokens", tokens), ("state", state), ("x", x), ("out_stats", out_stats), ("p", &*uniform)];
        // A factor that is not there needs a buffer all the same.
        let scaled = [("scaled", next.1), ("next_gamma", next.0.unwrap_or(tokens))];
        let buffers = buffers.into_iter().chain(scaled).chain(positions.map(|p| ("pos_table", p)));
        let mut resources: Vec<_> = buffers.map(|(name, buffer)| (name, buffer.as_entire_binding())).collect();
        resources.push(("w", part.store.binding()));
        let grid = Grid::RowsY(width.div_ceil(4).div_ceil(64));
        let one = b.pipelines.get_with(b.gpu, "embed", &features, &constants).await?;
        let tree = b.pipelines.get_deferred_with(b.gpu, "embed", &tree, &constants).await?;
        let bind_group = one.bind_resources(b.gpu, &resources);
        dispatches.push(Dispatch::uniform(one, grid, bind_group, uniform).with_tree(tree));
    }
    Ok(dispatches)
}
