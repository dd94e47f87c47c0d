//! Passes over the rows of a tree, and the move of the rows that were accepted.

use std::sync::Arc;

use understory_protocol::Result;

use super::{AllLogits, Forward};
use crate::gpu::{Dispatch, Gpu, RowClass, record};
use crate::kernels::Builder;

/// Whose accepted path moves this model's KV rows.
pub(super) struct Commit {
    /// of the target
    pub state: wgpu::Buffer,
    /// this model is the draft
    pub draft: bool,
}

/// What a model needs for trees beyond its plain passes. [`Forward::with_trees`] makes it, and every pass over a tree
/// asks for it: none can be recorded before.
pub struct TreeSupport {
    all_logits: Arc<AllLogits>,
}

impl TreeSupport {
    /// The logits that passes over trees leave.
    pub fn logits(&self) -> &AllLogits {
        &self.all_logits
    }

    /// How many rows of a tree have room for their logits.
    pub fn rows(&self) -> usize {
        self.all_logits.rows
    }
}

/// Buffers that the kernels of speculation read and write.
pub struct Buffers<'a> {
    pub state: &'a wgpu::Buffer,
    pub tokens: &'a wgpu::Buffer,
    pub history: &'a wgpu::Buffer,
    pub seen: &'a wgpu::Buffer,
    /// of all rows
    pub logits: &'a wgpu::Buffer,
    pub block_max: &'a wgpu::Buffer,
}

impl Forward {
    /// Prepares for trees. This model's KV rows will follow the accepted paths in the state of `target`, whose draft it
    /// is; `None`: in its own.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn with_trees(&mut self, gpu: &Gpu, target: Option<&wgpu::Buffer>) -> Result<TreeSupport> {
        let all_logits = self.all_logits(gpu).await?;
        let state = target.unwrap_or(&self.scratch.state).clone();
        self.commit = Some(Commit { state, draft: target.is_some() });
        // Planned again, with the commit.
        self.plan = None;
        self.reserve(gpu, 1).await?;
        Ok(TreeSupport { all_logits })
    }

    /// Records a tree pass of up to `rows` rows, which see fewer than `positions` positions, and the logits of all
    /// rows; returns its dispatches.
    pub fn record_tree(
        &self,
        trees: &TreeSupport,
        pass: &mut wgpu::ComputePass<'_>,
        rows: usize,
        positions: usize,
    ) -> usize {
        let splits = self.splits(positions);
        let count = record(pass, &self.plan().body, RowClass::Tree, rows as u32, splits);
        count + record(pass, &trees.all_logits.head, RowClass::Tree, rows as u32, 1)
    }

    /// Records the move of the accepted path's KV rows; returns its dispatches. Their plan has it since there is
    /// [`TreeSupport`].
    pub fn record_commit(&self, _: &TreeSupport, pass: &mut wgpu::ComputePass<'_>) -> usize {
        record(pass, &self.plan().commit.dispatches, RowClass::One, 1, 1)
    }

    /// What a pass over a tree and the move after it may dispatch, and as which rows.
    pub fn tree_dispatches<'a>(&'a self, trees: &'a TreeSupport) -> impl Iterator<Item = (RowClass, &'a Dispatch)> {
        let plan = self.plan();
        let pass = plan.body.iter().chain(&trees.all_logits.head).map(|dispatch| (RowClass::Tree, dispatch));
        pass.chain(plan.commit.dispatches.iter().map(|dispatch| (RowClass::One, dispatch)))
    }

    /// Launch glue for this model's kernels of a round.
    pub fn builder<'a>(&'a mut self, gpu: &'a Gpu, trees: &'a TreeSupport) -> (Builder<'a>, Buffers<'a>) {
        let (all, s) = (&trees.all_logits, &self.scratch);
        let buffers = Buffers {
            state: &s.state,
            tokens: &s.tokens,
            history: &s.history,
            seen: &s.seen,
            logits: &all.logits,
            block_max: &all.block_max,
        };
        let b =
            Builder { gpu, pipelines: &mut self.pipelines, kernel_set: self.kernel_set, norm: self.config.norm.kind };
        (b, buffers)
    }
}
