//! Speculation on the device: the kernels of a round beside the two models' passes, and the recording of a round.
//!
//! A round is one list of dispatches with no decision of the host inside. What the host decides, it decides before: the
//! [`RoundPlan`] sets parameters and how many levels and rows are recorded (an envelope; rows that the device does not
//! use return at once).

use understory_protocol::method::{MAX_ROWS, Method};
use understory_protocol::{Costs, Result, RoundMode, Sampling};
use understory_speculation::controller::RoundPlan;
use understory_speculation::grow::{Branch, GrowRule};
use understory_speculation::prune::{self, VerifyMs};

use super::measure;
use crate::forward::{Forward, TreeSupport};
use crate::gpu::{Buffer, Dispatch, Gpu, RowClass, record};
use crate::kernels::{
    self, AcceptParams, CANDIDATES, CandidatesParams, CatchUpParams, CostTable, GrowParams, Sampler, state,
};

const DOING: &str = "preparing speculation";
/// Rows before the tree's root, and the root, that the draft takes in at the start of a round; `MOST_CATCH` in
/// `catch_up.wesl`.
pub const MOST_CATCH: usize = 16;

/// The kernels of a round, and the draft.
pub struct Speculator {
    pub(super) trees: TreeSupport,
    choices: Sampler,
    accept: Dispatch,
    accept_params: AcceptParams,
    /// as measured at load
    verify_ms: CostTable,
    pub draft: Option<Draft>,
    pub costs: Option<Costs>,
    /// by mode: whether a round of it was read
    ran: [bool; 3],
    _chosen: Buffer,
}

/// The draft model and the kernels that join it to the target.
pub struct Draft {
    pub forward: Forward,
    trees: TreeSupport,
    /// tokens that both vocabularies have
    n_shared: usize,
    prefill: Dispatch,
    start: Dispatch,
    candidates: Dispatch,
    /// a level between, and the last one
    grow: [(Dispatch, GrowParams); 2],
    /// most committed tokens before the root whose rows the draft's KV cache may lack
    behind: usize,
    _candidates: Buffer,
}

impl Speculator {
    /// Makes the kernels for rounds of `target` without a draft.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn new(gpu: &Gpu, target: &mut Forward) -> Result<Speculator> {
        let trees = target.with_trees(gpu, None).await?;
        let chosen = gpu.storage(DOING, 4 * MAX_ROWS as u64).await?;
        let vocab = target.config.vocab_size;
        let accept_params = AcceptParams {
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
        let choices = kernels::row_sampler(&mut b, vocab, [t.logits, t.block_max, t.state, &chosen, t.seen]).await?;
        let buffers = [&*chosen, t.state, t.tokens, t.history, t.seen];
        let accept = kernels::accept(&mut b, &accept_params, buffers).await?;
        Ok(Self {
            trees,
            choices,
            accept,
            accept_params,
            verify_ms: [1.0; 68],
            draft: None,
            costs: None,
            ran: [false; 3],
            _chosen: chosen,
        })
    }

    /// Joins `draft` to `target`. The vocabularies are known to agree.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn set_draft(&mut self, gpu: &Gpu, target: &mut Forward, mut draft: Forward) -> Result<()> {
        let trees = draft.with_trees(gpu, Some(target.state())).await?;
        let n_shared = target.config.vocab_size.min(draft.config.vocab_size);
        let vocab = draft.config.vocab_size;
        let candidates_buffer = gpu.storage(DOING, (MAX_ROWS * CANDIDATES * 8) as u64).await?;
        let params = GrowParams {
            branch: 1,
            frontier: 1,
            level_nodes: 1,
            max_nodes: 0,
            tau: 0.0,
            deep: 0.0,
            stop_below: 0.0,
            deep_from: 0,
            max_depth: 0,
            n_shared: n_shared as u32,
            last: 0,
            prune: 0,
            sunk_ms: 0.0,
            pad: [0; 3],
            log_ratio: [0.0; 16],
            verify_ms: [1.0; 68],
        };
        let last = GrowParams { last: 1, ..params };
        let (_, t) = target.builder(gpu, &self.trees);
        let (mut b, d) = draft.builder(gpu, &trees);
        let catch_up = [t.state, d.state, d.tokens, t.history];
        let prefill = kernels::catch_up(&mut b, CatchUpParams { start: 0, chunk: 0, pad: [0; 2] }, catch_up).await?;
        let start = kernels::catch_up(&mut b, CatchUpParams { start: 1, chunk: 0, pad: [0; 2] }, catch_up).await?;
        let buffers = [d.logits, d.block_max, d.state, t.state, t.seen, &candidates_buffer];
        let candidate_params = CandidatesParams::new(&Sampling::default(), vocab, n_shared, 1.0);
        let candidates = kernels::candidates(&mut b, &candidate_params, buffers).await?;
        let buffers = [&*candidates_buffer, t.state, d.state, d.tokens, t.tokens];
        let grow = [
            (kernels::grow(&mut b, &params, buffers).await?, params),
            (kernels::grow(&mut b, &last, buffers).await?, last),
        ];
        self.costs = None;
        self.draft = Some(Draft {
            forward: draft,
            trees,
            n_shared,
            prefill,
            start,
            candidates,
            grow,
            behind: 0,
            _candidates: candidates_buffer,
        });
        Ok(())
    }

    /// Rows that a tree may have in a request that ends before `positions`.
    pub fn tree_rows(&self, target: &Forward, positions: usize) -> usize {
        let draft = self.draft.as_ref().map_or(MAX_ROWS, |d| d.trees.rows().min(d.forward.tree_rows(positions)));
        self.trees.rows().min(target.tree_rows(positions)).min(draft).min(MAX_ROWS)
    }

    /// Whether the draft's context holds positions below `positions`.
    pub fn draft_reaches(&self, positions: usize) -> bool {
        self.draft.as_ref().is_some_and(|d| d.reach(positions) == positions)
    }

    /// Sets what holds for all rounds of a request.
    pub fn prepare(
        &mut self,
        gpu: &Gpu,
        target: &Forward,
        method: &Method,
        sampling: &Sampling,
        synthetic: Option<f32>,
    ) {
        let vocab = target.config.vocab_size;
        self.choices.prepare(gpu, sampling, vocab);
        self.accept_params.synthetic = synthetic.unwrap_or(-1.0);
        self.accept_params.seed = [sampling.seed as u32, (sampling.seed >> 32) as u32];
        self.verify_ms = cost_table(&self.costs.as_ref().map_or([1.0; MAX_ROWS + 1], prune::verify_ms));
        if let Some(d) = &mut self.draft {
            d.behind = 0;
            let params = CandidatesParams::new(sampling, d.forward.config.vocab_size, d.n_shared, method.sharpness());
            gpu.queue().write_buffer(&d.candidates.params, 0, bytemuck::bytes_of(&params));
            for (_, params) in &mut d.grow {
                // Different from whatever comes: written with the first round.
                params.max_depth = u32::MAX;
            }
        }
        self.accept_params.lookup_tokens = u32::MAX;
    }

    /// Writes the parameters of the next round, and of the chain that it is to look up for the round after it. Both
    /// plans are cut to trees of `tree_rows` rows.
    pub fn set_plan(&mut self, gpu: &Gpu, plan: &RoundPlan, next: &RoundPlan, tree_rows: usize) {
        let most = |nodes: usize| nodes.min(tree_rows - 1) as u32;
        let mut accept = self.accept_params;
        accept.max_match = 0;
        accept.lookup_tokens = 0;
        if let Some(lookup) = &next.lookup {
            accept.verify_ms = self.costs_of(next);
            accept.max_match = lookup.max_match as u32;
            accept.min_match = lookup.min_match as u32;
            accept.lookup_tokens = most(lookup.tokens.min(next.rule.max_nodes));
            accept.sized = lookup.sized_by_cost.into();
            accept.lookup_log_prob = lookup.log_prob;
        }
        if accept != self.accept_params {
            self.accept_params = accept;
            gpu.queue().write_buffer(&self.accept.params, 0, bytemuck::bytes_of(&accept));
        }
        let verify_ms = self.costs_of(plan);
        let Some(draft) = self.draft.as_mut().filter(|_| plan.levels > 0) else { return };
        let rule = &plan.rule;
        let thresholds = rule.thresholds();
        for (dispatch, old) in &mut draft.grow {
            let params = GrowParams {
                branch: match rule.branch {
                    Branch::Fixed(n) => n.clamp(1, CANDIDATES) as u32,
                    Branch::ByConfidence => 0,
                },
                frontier: rule.frontier.min(draft.trees.rows()).min(tree_rows) as u32,
                level_nodes: rule.level_nodes.min(MAX_ROWS) as u32,
                max_nodes: most(rule.max_nodes),
                tau: thresholds.tau,
                deep: thresholds.deep,
                stop_below: thresholds.stop_below,
                deep_from: rule.deep_from.min(MAX_ROWS) as u32,
                max_depth: rule.max_depth.min(MAX_ROWS) as u32,
                prune: plan.prune.is_some().into(),
                sunk_ms: plan.prune.as_ref().map_or(0.0, |p| p.sunk_ms),
                log_ratio: plan.prune.as_ref().map_or([0.0; 16], |p| p.log_ratio()),
                verify_ms,
                ..*old
            };
            if params != *old {
                *old = params;
                gpu.queue().write_buffer(&dispatch.params, 0, bytemuck::bytes_of(&params));
            }
        }
    }

    /// What verification costs in the round of `plan`, as kernels read it.
    fn costs_of(&self, plan: &RoundPlan) -> CostTable {
        plan.verify_ms.as_ref().map_or(self.verify_ms, |table| cost_table(table))
    }

    /// Records a round of trees of up to `tree_rows` rows that see fewer than `positions` positions; returns its
    /// dispatches.
    pub fn record(
        &mut self,
        pass: &mut wgpu::ComputePass<'_>,
        target: &Forward,
        plan: &RoundPlan,
        sampling: &Sampling,
        tree_rows: usize,
        positions: usize,
    ) -> usize {
        let mut count = 0;
        let drafts = plan.levels > 0 && self.draft.is_some();
        if let Some(draft) = self.draft.as_mut().filter(|_| drafts) {
            count += draft.record_levels(pass, plan, tree_rows, positions);
        }
        let rows = (1 + plan.rule.max_nodes).min(tree_rows);
        count += target.record_tree(&self.trees, pass, rows, positions);
        count += record(pass, [self.choices.choice(sampling)], RowClass::Tree, rows as u32, 1);
        count += record(pass, [&self.accept], RowClass::Tree, 1, 1);
        if !plan.chain {
            count += target.record_commit(&self.trees, pass);
        }
        if let Some(draft) = &mut self.draft {
            if drafts && !plan.chain {
                count += draft.forward.record_commit(&draft.trees, pass);
            }
            // All that has been looked up may have been accepted and not seen by the draft.
            let looked_up = plan.lookup.as_ref().map_or(0, |l| l.tokens.min(plan.rule.max_nodes));
            let emitted = match plan.mode {
                RoundMode::Draft => 1,
                RoundMode::Plain | RoundMode::Lookup => draft.behind + 1,
            };
            draft.behind = emitted + looked_up;
        }
        count
    }

    /// Submits passes after which the draft can join the next round, if it has fallen far behind; returns their
    /// dispatches.
    ///
    /// `positions`: more than the sequence may have by now.
    pub fn catch_up(&mut self, gpu: &Gpu, positions: usize) -> usize {
        let Some(draft) = &mut self.draft else { return 0 };
        let rows = draft.forward.few_rows(positions);
        if draft.behind < rows.min(MOST_CATCH) {
            return 0;
        }
        let passes = draft.behind.div_ceil(rows);
        draft.behind = 0;
        (0..passes).map(|_| draft.prefill(gpu, rows, positions.saturating_sub(rows))).sum()
    }

    /// Submits a round of a draft's tree and of nothing to verify.
    pub(super) fn submit_empty_round(&mut self, gpu: &Gpu, target: &Forward, tree_rows: usize, positions: usize) {
        let rule = GrowRule { branch: Branch::Fixed(CANDIDATES), frontier: 2, max_nodes: 4, ..GrowRule::chain(2) };
        let levels = if self.draft.is_some() { 2 } else { 0 };
        let plan = RoundPlan { mode: RoundMode::Draft, levels, rule, chain: false, ..RoundPlan::plain() };
        self.set_plan(gpu, &plan, &RoundPlan::plain(), tree_rows);
        gpu.submit_pass(|pass| {
            for sampling in [Sampling::default(), Sampling { temperature: 1.0, ..Sampling::default() }] {
                self.record(pass, target, &plan, &sampling, tree_rows, positions);
            }
        });
    }

    /// Submits a pass over a tree of `rows` rows, of at most `most`, with the choices.
    pub(super) fn submit_verification(&self, gpu: &Gpu, target: &Forward, rows: usize, most: usize, base: usize) {
        target.set_tree(gpu, &measure::star(rows), base);
        gpu.submit_pass(|pass| {
            target.record_tree(&self.trees, pass, most, base + MAX_ROWS);
            let choice = self.choices.choice(&Sampling::default());
            record(pass, [choice], RowClass::Tree, most as u32, 1);
        });
    }

    /// Submits a walk over a tree of one row.
    pub(super) fn submit_accept(&self, gpu: &Gpu, target: &Forward, base: usize) {
        target.set_tree(gpu, &measure::star(1), base);
        gpu.submit_pass(|pass| record(pass, [&self.accept], RowClass::Tree, 1, 1));
    }

    /// Notes that a round of `mode` was read; true for the first one. Many drivers compile kernels when they first run.
    pub fn note_first(&mut self, mode: RoundMode) -> bool {
        !std::mem::replace(&mut self.ran[mode as usize], true)
    }

    /// Notes that the target has taken a step without the draft.
    pub fn note_plain_step(&mut self) {
        if let Some(draft) = &mut self.draft {
            draft.behind += 1;
        }
    }
}

impl Draft {
    /// Submits a pass over up to `rows` committed tokens from position `base` on (an upper bound of it); returns its
    /// dispatches.
    fn prefill(&self, gpu: &Gpu, rows: usize, base: usize) -> usize {
        let params = CatchUpParams { start: 0, chunk: rows as u32, pad: [0; 2] };
        gpu.queue().write_buffer(&self.prefill.params, 0, bytemuck::bytes_of(&params));
        gpu.submit_pass(|pass| {
            record(pass, [&self.prefill], RowClass::One, 1, 1)
                + self.forward.record(pass, rows, base, &crate::forward::Tail::Nothing)
        })
    }

    /// The first `positions` positions, as far as its context goes.
    pub fn reach(&self, positions: usize) -> usize {
        positions.min(self.forward.config.max_position_embeddings)
    }

    /// Submits passes over the prompt from `known` on.
    pub fn prefill_prompt(&mut self, gpu: &Gpu, known: usize, n_prompt: usize) {
        let mut base = known;
        let n_prompt = self.reach(n_prompt);
        while base < n_prompt {
            let rows = self.forward.next_chunk(base, n_prompt - base);
            self.prefill(gpu, rows, base);
            base += rows;
        }
    }

    /// Submits a level of `rows` rows, without what joins it to the tree.
    pub(super) fn submit_level(&self, gpu: &Gpu, target: &Forward, rows: usize, base: usize) {
        target.set_tree(gpu, &measure::star(rows), base);
        let forward = &self.forward;
        forward.set_tree(gpu, &measure::star(rows), base);
        let itself: Vec<u32> = (0..rows as u32).collect();
        forward.set_words(gpu, state::PARENT, &itself);
        gpu.submit_pass(|pass| {
            forward.record_tree(&self.trees, pass, rows, base + MAX_ROWS);
            record(pass, [&self.candidates], RowClass::Tree, rows as u32, 1);
        });
    }

    fn record_levels(
        &mut self,
        pass: &mut wgpu::ComputePass<'_>,
        plan: &RoundPlan,
        tree_rows: usize,
        positions: usize,
    ) -> usize {
        let mut count = record(pass, [&self.start], RowClass::One, 1, 1);
        let [(grow, _), (grow_last, _)] = &self.grow;
        let mut rows = (self.behind + 1).min(MOST_CATCH);
        let mut frontier = 1;
        for level in 1..=plan.levels {
            count += self.forward.record_tree(&self.trees, pass, rows, positions);
            count += record(pass, [&self.candidates], RowClass::Tree, rows as u32, 1);
            let last = level == plan.levels;
            count += record(pass, [if last { grow_last } else { grow }], RowClass::One, 1, 1);
            // The most that the next level can have.
            let branch = match plan.rule.branch {
                Branch::Fixed(n) => n,
                Branch::ByConfidence => 3,
            };
            frontier = (frontier * branch).min(plan.rule.frontier).min(plan.rule.level_nodes).min(self.trees.rows());
            rows = frontier.min(tree_rows);
        }
        count
    }
}

/// A table as kernels read it.
fn cost_table(verify_ms: &VerifyMs) -> CostTable {
    std::array::from_fn(|rows| verify_ms.get(rows).copied().unwrap_or(f32::MAX / 2.0))
}
