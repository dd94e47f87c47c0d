//! `accept.wesl`: the walk, the commit of tokens, and the next looked-up chain.

use bytemuck::{Pod, Zeroable};
use understory_protocol::Result;

use super::{Builder, CostTable};
use crate::gpu::{Dispatch, Grid};

/// The kernel's parameters; written anew where a round's differ from the last one's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct AcceptParams {
    pub vocab_size: u32,
    /// 0: no lookup
    pub max_match: u32,
    pub min_match: u32,
    pub lookup_tokens: u32,
    /// 1: as many tokens as pay
    pub sized: u32,
    /// injected acceptance; negative: none
    pub synthetic: f32,
    pub seed: [u32; 2],
    /// by length of the match, from 1
    pub lookup_log_prob: [f32; 8],
    pub verify_ms: CostTable,
}

pub async fn accept(
    b: &mut Builder<'_>,
    params: &AcceptParams,
    [chosen, state, tokens, history, seen]: [&wgpu::Buffer; 5],
) -> Result<Dispatch> {
    let buffers = [("chosen", chosen), ("state", state), ("tokens", tokens), ("history", history), ("seen", seen)];
    let kernel_set = b.kernel_set.name();
    b.one("accept", &[kernel_set], Grid::Fixed([1, 1, 1]), params, &buffers).await
}
