//! `catch_up.wesl`: a pass of the draft over tokens that it has not seen.

use bytemuck::{Pod, Zeroable};
use understory_protocol::Result;

use super::Builder;
use crate::gpu::{Dispatch, Grid};

/// The kernel's parameters.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct CatchUpParams {
    /// 1: the start of a round, the root included
    pub start: u32,
    /// most rows of a prefill pass
    pub chunk: u32,
    pub pad: [u32; 2],
}

pub async fn catch_up(
    b: &mut Builder<'_>,
    params: CatchUpParams,
    [state, draft_state, draft_tokens, history]: [&wgpu::Buffer; 4],
) -> Result<Dispatch> {
    let buffers =
        [("state", state), ("draft_state", draft_state), ("draft_tokens", draft_tokens), ("history", history)];
    let kernel_set = b.kernel_set.name();
    b.one("catch_up", &[kernel_set], Grid::Fixed([1, 1, 1]), &params, &buffers).await
}
