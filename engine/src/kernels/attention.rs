//! `attention.wesl` and `attention_reduce.wesl`.

use bytemuck::{Pod, Zeroable};

use super::{Builder, when};
use crate::Result;
use crate::gpu::{Dispatch, Grid, Profile, When};
use crate::model::config::{LayerKind, ModelConfig};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    head_stride: u32,
    window: u32,
    scale: f32,
    out_stride: u32,
    n_splits: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ReduceParams {
    n_heads: u32,
    head_dim: u32,
    head_stride: u32,
    out_stride: u32,
    n_splits: u32,
    pad: [u32; 3],
}

/// The buffers of one layer's attention.
pub struct Attention<'a> {
    pub q: &'a wgpu::Buffer,
    pub k_cache: &'a wgpu::Buffer,
    pub v_cache: &'a wgpu::Buffer,
    pub state: &'a wgpu::Buffer,
    pub out: &'a wgpu::Buffer,
    pub out_stride: usize,
    /// partial results of splits, and how many splits of a row it holds
    pub parts: Option<(&'a wgpu::Buffer, u32)>,
}

/// Attention of one layer: one dispatch, or split and reduced where the context is long.
pub async fn attention(
    b: &mut Builder<'_>,
    config: &ModelConfig,
    layer: &LayerKind,
    op: Attention<'_>,
) -> Result<Vec<Dispatch>> {
    let head_stride = config.head_dim.next_multiple_of(4) as u32;
    let n_heads = config.n_heads as u32;
    let params = Params {
        n_heads,
        n_kv_heads: config.n_kv_heads as u32,
        head_dim: config.head_dim as u32,
        head_stride,
        window: layer.window.unwrap_or(0) as u32,
        scale: layer.attention_scale,
        out_stride: op.out_stride as u32,
        n_splits: op.parts.map_or(1, |(_, n)| n),
    };
    let buffers =
        |out| [("q", op.q), ("k_cache", op.k_cache), ("v_cache", op.v_cache), ("state", op.state), ("out", out)];
    if b.profile == Profile::Cpu {
        let per_row = n_heads * head_stride.div_ceil(16);
        let grid = Grid::RowsFlat { per_row, group: 8 };
        return Ok(vec![
            b.one_and_tree("attention", [&["cpu"], &["cpu", "tree"]], grid, &params, &buffers(op.out)).await?,
        ]);
    }
    let grid = Grid::RowsSplits(n_heads);
    let whole = b.one_and_tree("attention", [&["gpu"], &["gpu", "tree"]], grid, &params, &buffers(op.out)).await?;
    let Some((parts, n_splits)) = op.parts else { return Ok(vec![whole]) };
    let split = [&["gpu", "split"][..], &["gpu", "split", "tree"]];
    let split = b.one_and_tree("attention", split, grid, &params, &buffers(parts)).await?;
    let reduce_params = ReduceParams {
        n_heads,
        head_dim: config.head_dim as u32,
        head_stride,
        out_stride: op.out_stride as u32,
        n_splits,
        pad: [0; 3],
    };
    let reduce_grid = Grid::RowsY((head_stride / 4 * n_heads).div_ceil(64));
    let reduce_buffers = [("parts", parts), ("state", op.state), ("out", op.out)];
    let reduce =
        b.one_and_tree("attention_reduce", [&[], &["tree"]], reduce_grid, &reduce_params, &reduce_buffers).await?;
    Ok(vec![when(whole, When::OneSplit), when(split, When::ManySplits), when(reduce, When::ManySplits)])
}
