//! `attention.wesl`, its forms for CPU adapters, and `attention_reduce.wesl`.

use bytemuck::{Pod, Zeroable};
use understory_model::config::{LayerKind, ModelConfig};
use understory_protocol::{KernelSet, Result};

use super::{Builder, Resource, split_keys, when, whole};
use crate::gpu::{Dispatch, Grid, When};

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
    split: u32,
    window: u32,
    pad: u32,
}

/// Queries that a thread of a CPU adapter takes together: `QUERIES` in `shaders/kernels/attention_cpu.wesl`.
pub const CPU_QUERIES: usize = 8;

/// The buffers of one layer's attention.
pub struct Attention<'a> {
    /// as the rotation leaves them ([`crate::gpu::Words`])
    pub q: wgpu::BindingResource<'a>,
    pub k_cache: wgpu::BindingResource<'a>,
    pub v_cache: wgpu::BindingResource<'a>,
    pub state: &'a wgpu::Buffer,
    pub out: &'a wgpu::Buffer,
    pub out_stride: usize,
    /// partial results of splits, and how many splits of a row it holds; always there with the kernel set `cpu`
    pub parts: Option<(&'a wgpu::Buffer, u32)>,
}

impl<'a> Attention<'a> {
    fn resources(&self, out: &'a wgpu::Buffer) -> Vec<Resource<'a>> {
        let mut resources = whole(&[("state", self.state), ("out", out)]);
        resources.extend([("q", self.q.clone()), ("k_cache", self.k_cache.clone()), ("v_cache", self.v_cache.clone())]);
        resources
    }
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
    let grid = Grid::RowsSplits(n_heads);
    let mut whole = Vec::new();
    if b.kernel_set == KernelSet::Gpu {
        let features: [&[&str]; 2] = [&["gpu"], &["gpu", "tree"]];
        whole.push(b.one_and_tree_with("attention", features, grid, &params, &op.resources(op.out)).await?);
    }
    let Some((parts, n_splits)) = op.parts else { return Ok(whole) };
    let reduce_params = ReduceParams {
        n_heads,
        head_dim: config.head_dim as u32,
        head_stride,
        out_stride: op.out_stride as u32,
        n_splits,
        split: split_keys(b.kernel_set) as u32,
        window: params.window,
        pad: 0,
    };
    let reduce_grid = Grid::RowsY((head_stride / 4 * n_heads).div_ceil(64));
    let reduce_buffers = [("parts", parts), ("state", op.state), ("out", op.out)];
    let reduce =
        b.one_and_tree("attention_reduce", [&[], &["tree"]], reduce_grid, &reduce_params, &reduce_buffers).await?;
    if b.kernel_set == KernelSet::Cpu {
        let group = n_heads / params.n_kv_heads;
        let grid = |tree| Grid::KeyTiles { kv_heads: params.n_kv_heads, group, queries: CPU_QUERIES as u32, tree };
        let row_grid = Grid::RowsSplitsFlat { per_split: n_heads, group: 8 };
        let one = b.one_with("attention_row_cpu", &["cpu"], row_grid, &params, &op.resources(parts)).await?;
        let few = (b.pipelines.get_deferred(b.gpu, "attention_cpu", &["cpu"]).await?, grid(false));
        let tree = (b.pipelines.get_deferred(b.gpu, "attention_cpu", &["cpu", "tree"]).await?, grid(true));
        let [first, ..] = one.variants;
        let split = Dispatch { variants: [first, Some(few.clone()), Some(few), Some(tree)], ..one };
        return Ok(vec![split, reduce]);
    }
    let features: [&[&str]; 2] = [&["gpu", "split"], &["gpu", "split", "tree"]];
    let split = b.one_and_tree_with("attention", features, grid, &params, &op.resources(parts)).await?;
    let mut dispatches: Vec<_> = whole.into_iter().map(|d| when(d, When::OneSplit)).collect();
    dispatches.extend([when(split, When::ManySplits), when(reduce, When::ManySplits)]);
    Ok(dispatches)
}
