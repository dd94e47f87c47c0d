//! `attention.wesl`, `attention_reduce.wesl`, and their forms for CPU adapters.

use bytemuck::{Pod, Zeroable};
use understory_model::config::{LayerKind, ModelConfig};
use understory_protocol::{KernelSet, KvDtype, Result};

use super::{Builder, Resource, split_keys, when, whole};
use crate::gpu::{Constants, Dispatch, Grid, RowClass, When};

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

/// Queries that share a KV head and are taken together, by a thread of a CPU adapter or a workgroup of a GPU: `QUERIES` in
/// `shaders/kernels/attention_cpu.wesl`, 4 * `QUADS` in `attention.wesl`.
pub const QUERIES: usize = 8;
/// Splits of 256 keys in which rows of a tree can lie: its 80 begin anywhere in one.
const LAST_SPLITS: u32 = 2;
/// The same in splits of 16.
const LAST_CPU_SPLITS: u32 = 6;

/// Queries that a workgroup takes of one row whose KV heads serve `group` each, and what says so to the kernel: half as many as
/// of several rows, where that is enough.
pub(super) fn one_row(group: usize) -> (u32, Constants) {
    match group {
        0..=4 => (4, vec![("QUADS", 1)]),
        _ => (QUERIES as u32, Constants::new()),
    }
}

/// Features of a kernel of `kernel_set` that knows how K and V are stored.
pub(super) fn of_cache(kernel_set: &'static str, kv: KvDtype) -> Vec<&'static str> {
    match kv {
        KvDtype::F16 => vec![kernel_set, "kv16"],
        KvDtype::F32 => vec![kernel_set],
    }
}

/// The buffers of one layer's attention.
pub struct Attention<'a> {
    /// as the rotation leaves them ([`crate::gpu::Words`])
    pub q: wgpu::BindingResource<'a>,
    pub k_cache: wgpu::BindingResource<'a>,
    pub v_cache: wgpu::BindingResource<'a>,
    /// of the two
    pub kv: KvDtype,
    pub state: &'a wgpu::Buffer,
    pub out: &'a wgpu::Buffer,
    pub out_stride: usize,
    /// partial results of splits, and how many splits of a row it holds; always there with the kernel set `cpu`
    pub parts: Option<(wgpu::BindingResource<'a>, u32)>,
}

impl<'a> Attention<'a> {
    fn resources<'b>(&'b self, out: wgpu::BindingResource<'b>) -> Vec<Resource<'b>> {
        let mut resources = whole(&[("state", self.state)]);
        resources.push(("out", out));
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
    let params = Params {
        n_heads: config.n_heads as u32,
        n_kv_heads: config.n_kv_heads as u32,
        head_dim: config.head_dim as u32,
        head_stride: config.head_dim.next_multiple_of(4) as u32,
        window: layer.window.unwrap_or(0) as u32,
        scale: layer.attention_scale,
        out_stride: op.out_stride as u32,
        n_splits: op.parts.as_ref().map_or(1, |(_, n)| *n),
    };
    let whole = op.out.as_entire_binding();
    let Some((parts, _)) = &op.parts else {
        return Ok(vec![of_gpu(b, params, &op, (whole, false)).await?]);
    };
    if b.kernel_set == KernelSet::Cpu {
        return Ok(vec![of_cpu(b, params, &op, parts).await?, reduce(b, params, &op, parts).await?]);
    }
    Ok(vec![
        when(of_gpu(b, params, &op, (whole, false)).await?, When::OneSplit),
        when(of_gpu(b, params, &op, (parts.clone(), true)).await?, When::ManySplits),
        when(reduce(b, params, &op, parts).await?, When::ManySplits),
    ])
}

/// `attention.wesl`, with its result, or that of each split, in `out`.
async fn of_gpu(
    b: &mut Builder<'_>,
    params: Params,
    op: &Attention<'_>,
    (out, split): (wgpu::BindingResource<'_>, bool),
) -> Result<Dispatch> {
    let (kv_heads, group) = (params.n_kv_heads, params.n_heads / params.n_kv_heads);
    let mut features = of_cache("gpu", op.kv);
    features.extend(split.then_some("split"));
    let tree_features = [features.as_slice(), &["tree"]].concat();
    let grid = |queries, last| Grid::KeySplits { kv_heads, group, queries, last, together: 1 };
    let queries = QUERIES as u32;
    // Within one split only rows of their own have work.
    let tree_grid = match split {
        true => grid(queries, LAST_SPLITS),
        false => Grid::RowsFlat { per_row: kv_heads * group.div_ceil(queries), group: 1 },
    };
    let (row_queries, constants) = one_row(group as usize);
    let one = b.pipelines.get_with(b.gpu, "attention", &features, &constants).await?;
    let few = b.pipelines.get_deferred(b.gpu, "attention", &features).await?;
    let tree = b.pipelines.get_deferred(b.gpu, "attention", &tree_features).await?;
    let (bind_group, buffer) = b.bind_with(&one, &params, &op.resources(out))?;
    let mut dispatch = Dispatch::uniform(few, grid(queries, 0), bind_group, buffer);
    dispatch.variants[RowClass::One as usize] = Some((one, grid(row_queries, 0)));
    dispatch.variants[RowClass::Tree as usize] = Some((tree, tree_grid));
    Ok(dispatch)
}

/// `attention_cpu.wesl`, and its form for one row.
async fn of_cpu(
    b: &mut Builder<'_>,
    params: Params,
    op: &Attention<'_>,
    parts: &wgpu::BindingResource<'_>,
) -> Result<Dispatch> {
    let (kv_heads, group, queries) = (params.n_kv_heads, params.n_heads / params.n_kv_heads, QUERIES as u32);
    let grid = |last| Grid::KeySplits { kv_heads, group, queries, last, together: 8 };
    let row_grid = Grid::RowsSplitsFlat { per_split: params.n_heads, group: 8 };
    let one = b.one_with("attention_row_cpu", &["cpu"], row_grid, &params, &op.resources(parts.clone())).await?;
    let few = (b.pipelines.get_deferred(b.gpu, "attention_cpu", &["cpu"]).await?, grid(0));
    let tree = (b.pipelines.get_deferred(b.gpu, "attention_cpu", &["cpu", "tree"]).await?, grid(LAST_CPU_SPLITS));
    let [first, ..] = one.variants;
    Ok(Dispatch { variants: [first, Some(few.clone()), Some(few), Some(tree)], ..one })
}

/// The join of the splits in `parts`.
async fn reduce(
    b: &mut Builder<'_>,
    of: Params,
    op: &Attention<'_>,
    parts: &wgpu::BindingResource<'_>,
) -> Result<Dispatch> {
    let params = ReduceParams {
        n_heads: of.n_heads,
        head_dim: of.head_dim,
        head_stride: of.head_stride,
        out_stride: of.out_stride,
        n_splits: of.n_splits,
        split: split_keys(b.kernel_set) as u32,
        window: of.window,
        pad: 0,
    };
    let mut resources = whole(&[("state", op.state), ("out", op.out)]);
    resources.push(("parts", parts.clone()));
    let (kernel, features, grid): (_, [&[&str]; 2], _) = match b.kernel_set {
        KernelSet::Gpu => ("attention_reduce", [&["gpu"], &["gpu", "tree"]], Grid::RowsY(of.n_heads)),
        KernelSet::Cpu => {
            let grid = Grid::RowsFlat { per_row: of.n_heads * of.head_stride.div_ceil(16), group: 8 };
            ("attention_reduce_cpu", [&["cpu"], &["cpu", "tree"]], grid)
        }
    };
    b.one_and_tree_with(kernel, features, grid, &params, &resources).await
}
