//! What a round's tree comes from, behind one interface.
//!
//! A drafter's part of a round is decided by the [`RoundPlan`] alone, so the loop that generates asks none of them what
//! it is. No drafter can change the text: a tree only decides how many of the target's own tokens one pass gives.

use understory_protocol::method::{MAX_ROWS, Method};
use understory_protocol::{Result, Sampling};
use understory_speculation::controller::RoundPlan;

use super::draft_model::DraftModel;
use super::lookup::Lookup;
use super::record::Record;
use super::verifier::VerifyCosts;
use crate::forward::Forward;
use crate::gpu::Gpu;
use crate::kernels::AcceptParams;

/// What holds for all rounds of a request.
#[derive(Clone, Copy)]
pub struct DraftRequest<'a> {
    pub prompt: &'a [u32],
    pub sampling: &'a Sampling,
    pub method: &'a Method,
}

/// One round, as it is parametrised and recorded.
#[derive(Clone, Copy)]
pub struct RoundSpec<'a> {
    pub plan: &'a RoundPlan,
    /// the round after it, for which this one may look up a chain
    pub next: &'a RoundPlan,
    /// rows that its tree may have; plans are cut to them
    pub tree_rows: usize,
    /// more than the positions that its rows see
    pub positions: usize,
}

impl RoundSpec<'_> {
    /// `nodes`, but no more than a tree may have besides its root.
    pub fn cut(&self, nodes: usize) -> u32 {
        nodes.min(self.tree_rows - 1) as u32
    }
}

/// A source of draft trees. The calls of a request come in this order: [`begin`](Self::begin); for each round that it
/// [takes part](Self::takes_part) in [`catch_up`](Self::catch_up) and [`record_levels`](Self::record_levels), for every
/// round [`set_parameters`](Self::set_parameters) and [`record_end`](Self::record_end); [`finish`](Self::finish).
pub trait Drafter {
    /// Whether it adds to the tree of a round of `plan` in that very round.
    fn takes_part(&self, plan: &RoundPlan) -> bool;

    /// The model that it runs, if any: its KV cache is reserved and its kernels are compiled with the target's.
    fn forward_mut(&mut self) -> Option<&mut Forward> {
        None
    }

    /// Positions of a text up to which it can take part.
    fn reach(&self) -> usize {
        usize::MAX
    }

    /// Rows of a tree that its buffers hold in a request that ends before `positions`.
    fn tree_rows(&self, _positions: usize) -> usize {
        MAX_ROWS
    }

    /// Begins a request.
    fn begin(&mut self, _gpu: &Gpu, _request: &DraftRequest<'_>) {}

    /// Submits what brings it up to the committed text, whose first `n_prompt` tokens are the prompt and which is
    /// shorter than `positions`. Returns the dispatches, those of the prompt left out.
    fn catch_up(&mut self, _gpu: &Gpu, _n_prompt: usize, _positions: usize) -> usize {
        0
    }

    /// Writes the parameters of a round: its own, and in `accept` those of the walk that ends the round.
    fn set_parameters(&mut self, gpu: &Gpu, round: &RoundSpec<'_>, costs: &VerifyCosts, accept: &mut AcceptParams);

    /// Records what grows the tree, before its verification; returns the dispatches.
    fn record_levels(&mut self, _pass: &mut wgpu::ComputePass<'_>, _round: &RoundSpec<'_>) -> usize {
        0
    }

    /// Records what follows the walk, and notes what the round leaves it to catch up with; returns the dispatches.
    fn record_end(&mut self, _pass: &mut wgpu::ComputePass<'_>, _round: &RoundSpec<'_>) -> usize {
        0
    }

    /// Notes that the target has taken a step without any tree.
    fn note_plain_step(&mut self) {}

    /// Notes what was read after a round.
    fn observe(&mut self, _record: &Record<'_>) {}

    /// Ends a request: `text` is the prompt and what was generated. It is not called where the request failed;
    /// [`Drafters::abandon`] is.
    fn finish(&mut self, _text: &mut dyn Iterator<Item = u32>) {}
}

/// The drafters of an engine. Another kind is another field here, and an entry of `each`.
pub struct Drafters {
    lookup: Lookup,
    pub model: Option<DraftModel>,
}

impl Drafters {
    pub fn new() -> Self {
        Self { lookup: Lookup, model: None }
    }

    pub fn each(&mut self) -> impl Iterator<Item = &mut dyn Drafter> {
        let model = self.model.as_mut().map(|model| model as &mut dyn Drafter);
        std::iter::once(&mut self.lookup as &mut dyn Drafter).chain(model)
    }

    fn all(&self) -> impl Iterator<Item = &dyn Drafter> {
        let model = self.model.as_ref().map(|model| model as &dyn Drafter);
        std::iter::once(&self.lookup as &dyn Drafter).chain(model)
    }

    /// Rows that a tree of any of them may have in a request that ends before `positions`.
    pub fn tree_rows(&self, positions: usize) -> usize {
        self.all().map(|drafter| drafter.tree_rows(positions)).min().unwrap_or(MAX_ROWS)
    }

    /// Positions of a text up to which everything that `plan` asks for can be had.
    pub fn reach(&self, plan: &RoundPlan) -> usize {
        self.all().filter(|drafter| drafter.takes_part(plan)).map(|drafter| drafter.reach()).min().unwrap_or(usize::MAX)
    }

    /// Begins a request; returns how many of the prompt's leading tokens the draft model need not be shown.
    pub fn begin(&mut self, gpu: &Gpu, request: &DraftRequest<'_>) -> usize {
        self.each().for_each(|drafter| drafter.begin(gpu, request));
        self.model.as_ref().map_or(0, DraftModel::cached)
    }

    /// Makes those ready that take part in the round of `plan`, in a text that ends before `end`; returns the dispatches that
    /// count as the text's.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`].
    pub async fn catch_up(
        &mut self,
        gpu: &Gpu,
        plan: &RoundPlan,
        n_prompt: usize,
        [positions, end]: [usize; 2],
    ) -> Result<usize> {
        let mut dispatches = 0;
        for drafter in self.each().filter(|drafter| drafter.takes_part(plan)) {
            if let Some(forward) = drafter.forward_mut() {
                forward.reserve_ahead(gpu, positions, end).await?;
            }
            dispatches += drafter.catch_up(gpu, n_prompt, positions);
        }
        Ok(dispatches)
    }

    /// Records what grows the tree of `round`; returns the dispatches.
    pub fn record_levels(&mut self, pass: &mut wgpu::ComputePass<'_>, round: &RoundSpec<'_>) -> usize {
        let in_round = self.each().filter(|drafter| drafter.takes_part(round.plan));
        in_round.map(|drafter| drafter.record_levels(pass, round)).sum()
    }

    /// Ends a request that went well.
    pub fn finish(&mut self, prompt: &[u32], chosen: &[u32]) {
        for drafter in self.each() {
            drafter.finish(&mut prompt.iter().chain(chosen).copied());
        }
    }

    /// Ends a request that failed, or forgets the last one: no drafter keeps rows of a text.
    pub fn abandon(&mut self) {
        for forward in self.each().filter_map(|drafter| drafter.forward_mut()) {
            forward.cache.invalidate();
        }
    }
}
