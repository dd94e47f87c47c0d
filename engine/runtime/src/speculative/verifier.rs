//! The target's half of a round: one pass over the whole tree, the target's choice at every row, the walk along the
//! choices, and the move of the accepted path's KV rows.

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Costs, Result, Sampling};
use understory_speculation::controller::RoundPlan;
use understory_speculation::prune::{self, VerifyMs};

use super::drafter::RoundSpec;
use crate::forward::{Forward, TreeSupport};
use crate::gpu::{Buffer, Dispatch, Gpu, RowClass, record};
use crate::kernels::{self, AcceptParams, CostTable, Sampler};

/// The kernels that follow the target's pass.
pub struct Verifier {
    pub(super) trees: TreeSupport,
    pub(super) choices: Sampler,
    pub(super) accept: Dispatch,
    /// as they were written last
    params: AcceptParams,
    _chosen: Buffer,
}

/// What verification costs by the rows of a tree, in milliseconds.
pub struct VerifyCosts {
    at_load: CostTable,
}

impl VerifyCosts {
    /// Every size costs the same.
    pub fn flat() -> Self {
        Self { at_load: [1.0; 68] }
    }

    pub fn measured(costs: &Costs) -> Self {
        Self { at_load: cost_table(&prune::verify_ms(costs)) }
    }

    /// In the round of `plan`, as kernels read it.
    pub fn of(&self, plan: &RoundPlan) -> CostTable {
        plan.verify_ms.as_ref().map_or(self.at_load, |table| cost_table(table))
    }
}

/// A table as kernels read it.
fn cost_table(verify_ms: &VerifyMs) -> CostTable {
    std::array::from_fn(|rows| verify_ms.get(rows).copied().unwrap_or(f32::MAX / 2.0))
}

impl Verifier {
    /// Makes the kernels for trees of `target`.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn new(gpu: &Gpu, target: &mut Forward) -> Result<Self> {
        let trees = target.with_trees(gpu, None).await?;
        let chosen = gpu.storage(super::round::DOING, 4 * MAX_ROWS as u64).await?;
        let vocab = target.config.vocab_size;
        let params = AcceptParams {
            vocab_size: vocab as u32,
            max_match: 0,
            min_match: 1,
            lookup_tokens: 0,
            sized: 0,
            synthetic: -1.0,
            seed: [0; 2],
            lookup_log_prob: [0.0; 8],
            verify_ms: [1.0; 68],
        };
        let (mut b, t) = target.builder(gpu, &trees);
        let buffers = [t.logits, t.block_max, t.state, &chosen, t.seen];
        let choices = kernels::row_sampler(&mut b, vocab, trees.rows(), buffers).await?;
        let buffers = [&*chosen, t.state, t.tokens, t.history, t.seen];
        let accept = kernels::accept(&mut b, &params, buffers).await?;
        Ok(Self { trees, choices, accept, params, _chosen: chosen })
    }

    /// Rows that a tree may have in a request that ends before `positions`.
    pub fn tree_rows(&self, target: &Forward, positions: usize) -> usize {
        self.trees.rows().min(target.tree_rows(positions)).min(MAX_ROWS)
    }

    /// Begins a request. `synthetic`: the probability with which a node is accepted, in place of the comparison.
    pub fn begin(&mut self, gpu: &Gpu, sampling: &Sampling, synthetic: Option<f32>) {
        self.choices.prepare(gpu, sampling);
        self.params.synthetic = synthetic.unwrap_or(-1.0);
        self.params.seed = [sampling.seed as u32, (sampling.seed >> 32) as u32];
        // Different from whatever comes: written with the first round.
        self.params.lookup_tokens = u32::MAX;
    }

    /// The walk's parameters as they were written last.
    pub fn params(&self) -> AcceptParams {
        self.params
    }

    /// Writes the walk's parameters where they differ from those of the last round.
    pub fn set_params(&mut self, gpu: &Gpu, params: AcceptParams) {
        if params != self.params {
            self.params = params;
            gpu.queue().write_buffer(&self.accept.params, 0, bytemuck::bytes_of(&params));
        }
    }

    /// Records the target's pass over the tree of `round`, the choices, the walk and the moves; returns the dispatches.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        target: &Forward,
        round: &RoundSpec<'_>,
        sampling: &Sampling,
    ) -> usize {
        let rows = (1 + round.plan.rule.max_nodes).min(round.tree_rows);
        let mut count = target.record_tree(&self.trees, pass, rows, round.positions);
        count += record(pass, self.choices.choice(sampling), RowClass::Tree, rows as u32, 1);
        count += record(pass, [&self.accept], RowClass::Tree, 1, 1);
        if !round.plan.chain {
            count += target.record_commit(&self.trees, pass);
        }
        count
    }
}
