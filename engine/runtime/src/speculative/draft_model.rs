//! The drafter that is a smaller model with the target's vocabulary: a pass a level of the tree, over the frontier.
//!
//! It falls behind while rounds run without it, and catches up from the committed tokens on the device. Its rows need
//! not have the bits of plain decoding.

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Result, RoundMode, Sampling};
use understory_speculation::controller::RoundPlan;
use understory_speculation::grow::Branch;

use super::drafter::{DraftRequest, Drafter, RoundSpec};
use super::record::Record;
use super::round::DOING;
use super::verifier::{Verifier, VerifyCosts};
use crate::forward::{Forward, Tail, TreeSupport};
use crate::gpu::{Buffer, Dispatch, Gpu, RowClass, record};
use crate::kernels::{self, AcceptParams, CANDIDATES, Candidates, CandidatesParams, CatchUpParams, GrowParams};

/// Rows before the tree's root, and the root, that the draft takes in at the start of a round; `MOST_CATCH` in
/// `catch_up.wesl`.
const MOST_CATCH: usize = 16;

/// The draft model and the kernels that join it to the target.
pub struct DraftModel {
    pub forward: Forward,
    pub(super) trees: TreeSupport,
    /// tokens that both vocabularies have
    n_shared: usize,
    prefill: Dispatch,
    start: Dispatch,
    pub(super) candidates: Candidates,
    /// a level between, and the last one
    grow: [(Dispatch, GrowParams); 2],
    /// most committed tokens before the root whose rows the KV cache may lack
    behind: usize,
    /// leading tokens of the prompt whose rows the KV cache holds; `None`: it was shown all of it
    known: Option<usize>,
    /// rows of the KV cache that were of use at the last read
    cached: usize,
    _candidates: Buffer,
}

impl DraftModel {
    /// Joins `draft` to `target`. The vocabularies are known to agree.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn new(gpu: &Gpu, (target, verifier): (&mut Forward, &Verifier), mut draft: Forward) -> Result<Self> {
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
        let (_, t) = target.builder(gpu, &verifier.trees);
        let (mut b, d) = draft.builder(gpu, &trees);
        let catch_up = [t.state, d.state, d.tokens, t.history];
        let prefill = kernels::catch_up(&mut b, CatchUpParams { start: 0, chunk: 0, pad: [0; 2] }, catch_up).await?;
        let start = kernels::catch_up(&mut b, CatchUpParams { start: 1, chunk: 0, pad: [0; 2] }, catch_up).await?;
        let buffers = [d.logits, d.block_max, d.state, t.state, t.seen, &candidates_buffer];
        let candidate_params = CandidatesParams::new(&Sampling::default(), vocab, n_shared, 1.0);
        let candidates = kernels::candidates(&mut b, &candidate_params, trees.rows(), buffers).await?;
        let buffers = [&*candidates_buffer, t.state, d.state, d.tokens, t.tokens];
        let grow = [
            (kernels::grow(&mut b, &params, buffers).await?, params),
            (kernels::grow(&mut b, &last, buffers).await?, last),
        ];
        Ok(Self {
            forward: draft,
            trees,
            n_shared,
            prefill,
            start,
            candidates,
            grow,
            behind: 0,
            known: None,
            cached: 0,
            _candidates: candidates_buffer,
        })
    }

    /// What its part of a round may dispatch, and as which rows.
    pub(super) fn dispatches(&self) -> impl Iterator<Item = (RowClass, &Dispatch)> {
        let [(grow, _), (grow_last, _)] = &self.grow;
        let own = [&self.prefill, &self.start, grow, grow_last].map(|dispatch| (RowClass::One, dispatch));
        let own = own.into_iter().chain(self.candidates.dispatches().map(|dispatch| (RowClass::Tree, dispatch)));
        self.forward.tree_dispatches(&self.trees).chain(own)
    }

    /// Rows of the KV cache that are of use: of the prompt at the start of a request, of the text later.
    pub fn cached(&self) -> usize {
        self.cached
    }

    /// Submits a pass over up to `rows` committed tokens from position `base` on (an upper bound of it); returns its
    /// dispatches.
    fn prefill(&self, gpu: &Gpu, rows: usize, base: usize) -> usize {
        let params = CatchUpParams { start: 0, chunk: rows as u32, pad: [0; 2] };
        gpu.queue().write_buffer(&self.prefill.params, 0, bytemuck::bytes_of(&params));
        gpu.submit_pass(|pass| {
            record(pass, [&self.prefill], RowClass::One, 1, 1) + self.forward.record(pass, rows, base, &Tail::Nothing)
        })
    }

    /// Submits passes over the prompt from `known` on, as far as the context goes.
    fn prefill_prompt(&self, gpu: &Gpu, known: usize, n_prompt: usize) {
        let mut base = known;
        let n_prompt = n_prompt.min(self.reach());
        while base < n_prompt {
            let rows = self.forward.next_chunk(base, n_prompt - base);
            self.prefill(gpu, rows, base);
            base += rows;
        }
    }
}

impl Drafter for DraftModel {
    fn takes_part(&self, plan: &RoundPlan) -> bool {
        plan.levels > 0
    }

    fn forward_mut(&mut self) -> Option<&mut Forward> {
        Some(&mut self.forward)
    }

    fn reach(&self) -> usize {
        self.forward.config.max_position_embeddings
    }

    fn tree_rows(&self, positions: usize) -> usize {
        self.trees.rows().min(self.forward.tree_rows(positions))
    }

    fn begin(&mut self, gpu: &Gpu, request: &DraftRequest<'_>) {
        self.behind = 0;
        let DraftRequest { prompt, sampling, method } = *request;
        let vocab = self.forward.config.vocab_size;
        let params = CandidatesParams::new(sampling, vocab, self.n_shared, method.sharpness());
        self.candidates.prepare(gpu, &params);
        for (_, params) in &mut self.grow {
            // Different from whatever comes: written with the first round.
            params.max_depth = u32::MAX;
        }
        self.cached = self.forward.cache.reusable(prompt);
        self.forward.cache.truncate(self.cached);
        self.known = Some(self.cached);
    }

    /// Shows it what it has not seen, the prompt first: nothing of that is done for a text that it has no part in.
    fn catch_up(&mut self, gpu: &Gpu, n_prompt: usize, positions: usize) -> usize {
        if let Some(known) = self.known.take() {
            self.prefill_prompt(gpu, known, n_prompt);
        }
        let rows = self.forward.few_rows(positions);
        if self.behind < rows.min(MOST_CATCH) {
            return 0;
        }
        let passes = self.behind.div_ceil(rows);
        self.behind = 0;
        (0..passes).map(|_| self.prefill(gpu, rows, positions.saturating_sub(rows))).sum()
    }

    fn set_parameters(&mut self, gpu: &Gpu, round: &RoundSpec<'_>, costs: &VerifyCosts, _accept: &mut AcceptParams) {
        let plan = round.plan;
        if !self.takes_part(plan) {
            return;
        }
        let rule = &plan.rule;
        let thresholds = rule.thresholds();
        let verify_ms = costs.of(plan);
        for (dispatch, old) in &mut self.grow {
            let params = GrowParams {
                branch: match rule.branch {
                    Branch::Fixed(n) => n.clamp(1, CANDIDATES) as u32,
                    Branch::ByConfidence => 0,
                },
                frontier: rule.frontier.min(self.trees.rows()).min(round.tree_rows) as u32,
                level_nodes: rule.level_nodes.min(MAX_ROWS) as u32,
                max_nodes: round.cut(rule.max_nodes),
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

    fn record_levels(&mut self, pass: &mut wgpu::ComputePass<'_>, round: &RoundSpec<'_>) -> usize {
        let rule = &round.plan.rule;
        let mut count = record(pass, [&self.start], RowClass::One, 1, 1);
        let [(grow, _), (grow_last, _)] = &self.grow;
        let mut rows = (self.behind + 1).min(MOST_CATCH);
        let mut frontier = 1;
        for level in 1..=round.plan.levels {
            count += self.forward.record_tree(&self.trees, pass, rows, round.positions);
            count += record(pass, self.candidates.dispatches(), RowClass::Tree, rows as u32, 1);
            let last = level == round.plan.levels;
            count += record(pass, [if last { grow_last } else { grow }], RowClass::One, 1, 1);
            // The most that the next level can have.
            let branch = match rule.branch {
                Branch::Fixed(n) => n,
                Branch::ByConfidence => 3,
            };
            frontier = (frontier * branch).min(rule.frontier).min(rule.level_nodes).min(self.trees.rows());
            rows = frontier.min(round.tree_rows);
        }
        count
    }

    fn record_end(&mut self, pass: &mut wgpu::ComputePass<'_>, round: &RoundSpec<'_>) -> usize {
        let plan = round.plan;
        let moves = self.takes_part(plan) && !plan.chain;
        let count = if moves { self.forward.record_commit(&self.trees, pass) } else { 0 };
        // All that has been looked up may have been accepted and not seen by the draft.
        let looked_up = plan.lookup.as_ref().map_or(0, |l| l.tokens.min(plan.rule.max_nodes));
        let emitted = match plan.mode {
            RoundMode::Draft => 1,
            RoundMode::Plain | RoundMode::Lookup => self.behind + 1,
        };
        self.behind = emitted + looked_up;
        count
    }

    fn note_plain_step(&mut self) {
        self.behind += 1;
    }

    fn observe(&mut self, record: &Record<'_>) {
        self.cached = record.draft_len();
    }

    /// Rounds beyond the end only wrote rows behind those of the text.
    fn finish(&mut self, text: &mut dyn Iterator<Item = u32>) {
        self.forward.cache.commit(text.take(self.cached));
    }
}
