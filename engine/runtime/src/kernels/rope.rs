//! `rope.wesl`: norm over heads, rotation, KV append.

use bytemuck::{Pod, Zeroable};
use understory_model::config::ModelConfig;
use understory_protocol::Result;

use super::Builder;
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
    pub q: &'a wgpu::Buffer,
    pub k_cache: &'a wgpu::Buffer,
    pub v_cache: &'a wgpu::Buffer,
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
    let mut features = Vec::new();
    let mut buffers =
        vec![("qkv", op.qkv), ("state", op.state), ("q", op.q), ("k_cache", op.k_cache), ("v_cache", op.v_cache)];
    if let Some((angles, _)) = op.angles {
        features.push("rotary");
        buffers.push(("angles", angles));
    }
    if let Some(gamma) = op.qk_gamma {
        features.push("qknorm");
        buffers.push(("qk_gamma", gamma));
    }
    let threads = (heads * config.head_dim.div_ceil(2)) as u32;
    let tree = [features.as_slice(), &["tree"]].concat();
    b.one_and_tree("rope", [&features, &tree], Grid::RowsY(threads.div_ceil(64)), &params, &buffers).await
}
