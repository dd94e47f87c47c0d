//! `grow.wesl`: one level of the draft's tree.

use bytemuck::{Pod, Zeroable};
use understory_protocol::Result;

use super::{Builder, CostTable};
use crate::gpu::{Dispatch, Grid};

/// The kernel's parameters; written anew where a round's differ from the last one's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct GrowParams {
    /// 0: by confidence
    pub branch: u32,
    pub frontier: u32,
    pub level_nodes: u32,
    pub max_nodes: u32,
    /// the three as natural logarithms
    pub tau: f32,
    pub deep: f32,
    pub stop_below: f32,
    pub deep_from: u32,
    pub max_depth: u32,
    pub n_shared: u32,
    pub last: u32,
    pub prune: u32,
    pub sunk_ms: f32,
    pub pad: [u32; 3],
    pub log_ratio: [f32; 16],
    pub verify_ms: CostTable,
}

pub async fn grow(
    b: &mut Builder<'_>,
    params: &GrowParams,
    [candidates, state, draft_state, draft_tokens, tokens]: [&wgpu::Buffer; 5],
) -> Result<Dispatch> {
    let buffers = [
        ("candidates", candidates),
        ("state", state),
        ("draft_state", draft_state),
        ("draft_tokens", draft_tokens),
        ("tokens", tokens),
    ];
    b.one("grow", &[], Grid::Fixed([1, 1, 1]), params, &buffers).await
}
