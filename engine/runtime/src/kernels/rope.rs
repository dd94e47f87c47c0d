//! `rope.wesl` and its form for CPU adapters: norm over heads, rotation, KV append.

use bytemuck::{Pod, Zeroable};
use understory_model::config::ModelConfig;
use understory_protocol::{KernelSet, KvDtype, Result};

use super::{Builder, whole};
use crate::gpu::{Dispatch, Grid};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    head_stride: u32,
    rotary_dim: u32,
    qkv_stride: u32,
    eps: f32,
    pad: u32,
}

/// The buffers of one layer's rotation.
pub struct Rope<'a> {
    pub qkv: &'a wgpu::Buffer,
    pub state: &'a wgpu::Buffer,
    /// (cos, sin) by position and pair, with the table's rotary_dim
    pub angles: Option<(&'a wgpu::Buffer, usize)>,
    pub qk_gamma: Option<&'a wgpu::Buffer>,
    /// as attention reads them ([`crate::gpu::Words`])
    pub q: wgpu::BindingResource<'a>,
    pub k_cache: wgpu::BindingResource<'a>,
    pub v_cache: wgpu::BindingResource<'a>,
    /// of the two
    pub kv: KvDtype,
}

pub async fn rope(b: &mut Builder<'_>, config: &ModelConfig, op: Rope<'_>) -> Result<Dispatch> {
    let heads = config.n_heads + 2 * config.n_kv_heads;
    let params = Params {
        n_heads: config.n_heads as u32,
        n_kv_heads: config.n_kv_heads as u32,
        head_dim: config.head_dim as u32,
        head_stride: config.head_dim.next_multiple_of(4) as u32,
        rotary_dim: op.angles.map_or(0, |(_, dim)| dim as u32),
        qkv_stride: (config.q_dim() + 2 * config.kv_dim()) as u32,
        eps: config.norm.eps,
        pad: 0,
    };
    let grid = match b.kernel_set {
        KernelSet::Gpu => Grid::RowsY(((heads * config.head_dim.div_ceil(2)) as u32).div_ceil(64)),
        KernelSet::Cpu => Grid::RowsFlat { per_row: heads as u32, group: 8 },
    };
    let (kernel, features) = rope_kernel(b.kernel_set, op.kv, op.angles.is_some(), op.qk_gamma.is_some());
    let mut resources = whole(&[("qkv", op.qkv), ("state", op.state)]);
    resources.extend([("q", op.q), ("k_cache", op.k_cache), ("v_cache", op.v_cache)]);
    resources.extend(op.angles.map(|(angles, _)| ("angles", angles.as_entire_binding())));
    resources.extend(op.qk_gamma.map(|gamma| ("qk_gamma", gamma.as_entire_binding())));
    let tree = [features.as_slice(), &["tree"]].concat();
    b.one_and_tree_with(kernel, [&features, &tree], grid, &params, &resources).await
}

/// The kernel, and its features for rows that are no tree's.
pub(super) fn rope_kernel(
    kernel_set: KernelSet,
    kv: KvDtype,
    rotary: bool,
    qk_norm: bool,
) -> (&'static str, Vec<&'static str>) {
    let kernel = if kernel_set == KernelSet::Cpu { "rope_cpu" } else { "rope" };
    let there =
        [(kernel_set == KernelSet::Cpu, "cpu"), (rotary, "rotary"), (qk_norm, "qknorm"), (kv == KvDtype::F16, "kv16")];
    (kernel, there.into_iter().filter_map(|(is, feature)| is.then_some(feature)).collect())
}
