//! `norm_residual.wesl`: Gemma's norm after a half-block, and the residual.

use bytemuck::{Pod, Zeroable};
use understory_model::config::ModelConfig;
use understory_protocol::Result;

use super::Builder;
use crate::gpu::{Dispatch, Grid};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    k8: u32,
    width: u32,
    eps: f32,
    has_next: u32,
}

/// Y = X + norm(T) * gamma, with the partial sums of Y; buffers: t, its partial sums, x, y, y's partial sums. Of `next` the
/// following norm's factor, where Y times it is wanted, and room for that (kernel set `cpu`).
pub async fn norm_residual(
    b: &mut Builder<'_>,
    config: &ModelConfig,
    gamma: &wgpu::Buffer,
    state: &wgpu::Buffer,
    [t, stats, x, y, out_stats]: [&wgpu::Buffer; 5],
    next: (Option<&wgpu::Buffer>, &wgpu::Buffer),
) -> Result<Dispatch> {
    let width = config.hidden_size as u32;
    let params = Params { k8: width.div_ceil(8), width, eps: config.norm.eps, has_next: next.0.is_some() as u32 };
    let buffers = [
        ("t", t),
        ("x", x),
        ("state", state),
        ("stats", stats),
        ("gamma", gamma),
        ("y", y),
        ("out_stats", out_stats),
        ("scaled", next.1),
        ("next_gamma", next.0.unwrap_or(gamma)),
    ];
    let grid = Grid::RowsY(width.div_ceil(4).div_ceil(64));
    let kernel_set = b.kernel_set.name();
    b.one("norm_residual", &[kernel_set, b.norm_feature()], grid, &params, &buffers).await
}
