//! The recording of a round: the drafters' part, then the verifier's.
//!
//! A round is one list of dispatches with no decision of the host inside. What the host decides, it decides before: the
//! plan sets parameters and how many levels and rows are recorded (an envelope; rows that the device does not use
//! return at once).

use understory_protocol::{Costs, Result, RoundMode, Sampling};

use super::draft_model::DraftModel;
use super::drafter::{DraftRequest, Drafters, RoundSpec};
use super::record::Record;
use super::verifier::{Verifier, VerifyCosts};
use crate::forward::Forward;
use crate::gpu::{Dispatch, Gpu, RowClass};

pub(super) const DOING: &str = "preparing speculation";

/// All kernels of a round beside the target's pass.
pub struct RoundKernels {
    pub(super) verifier: Verifier,
    pub drafters: Drafters,
    verify_costs: VerifyCosts,
    /// by mode: whether a round of it was read
    ran: [bool; 3],
}

impl RoundKernels {
    /// Makes the kernels for rounds of `target` without a draft model.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn new(gpu: &Gpu, target: &mut Forward) -> Result<Self> {
        let verifier = Verifier::new(gpu, target).await?;
        Ok(Self { verifier, drafters: Drafters::new(), verify_costs: VerifyCosts::flat(), ran: [false; 3] })
    }

    /// What a round may dispatch, and as which rows.
    pub(super) fn dispatches<'a>(&'a self, target: &'a Forward) -> impl Iterator<Item = (RowClass, &'a Dispatch)> {
        let Verifier { trees, choices, accept, .. } = &self.verifier;
        let after = choices.all().chain([accept]).map(|dispatch| (RowClass::Tree, dispatch));
        let drafted = self.drafters.model.iter().flat_map(DraftModel::dispatches);
        target.tree_dispatches(trees).chain(after).chain(drafted)
    }

    /// Rows that a tree may have in a request that ends before `positions`.
    pub fn tree_rows(&self, target: &Forward, positions: usize) -> usize {
        self.verifier.tree_rows(target, positions).min(self.drafters.tree_rows(positions))
    }

    /// Sets what holds for all rounds of a request; returns how many of the prompt's leading tokens the draft model need
    /// not be shown.
    pub fn begin(
        &mut self,
        gpu: &Gpu,
        costs: &Costs,
        request: &DraftRequest<'_>,
        synthetic_acceptance: Option<f32>,
    ) -> usize {
        self.verify_costs = VerifyCosts::measured(costs);
        self.verifier.begin(gpu, request.sampling, synthetic_acceptance);
        self.drafters.begin(gpu, request)
    }

    /// Writes the parameters of the next round, and of the chain that it is to look up for the round after it.
    pub fn set_parameters(&mut self, gpu: &Gpu, round: &RoundSpec<'_>) {
        let mut accept = self.verifier.params();
        for drafter in self.drafters.each() {
            drafter.set_parameters(gpu, round, &self.verify_costs, &mut accept);
        }
        self.verifier.set_params(gpu, accept);
    }

    /// Records `round`; returns its dispatches.
    pub fn record(
        &mut self,
        pass: &mut wgpu::ComputePass<'_>,
        target: &Forward,
        round: &RoundSpec<'_>,
        sampling: &Sampling,
    ) -> usize {
        let mut count = self.drafters.record_levels(pass, round);
        count += self.verifier.record(pass, target, round, sampling);
        count + self.drafters.each().map(|drafter| drafter.record_end(pass, round)).sum::<usize>()
    }

    /// Tells the drafters what was read after a round.
    pub fn observe(&mut self, record: &Record<'_>) {
        self.drafters.each().for_each(|drafter| drafter.observe(record));
    }

    /// Notes that a round of `mode` was read; true for the first one. Many drivers compile kernels when they first run.
    pub fn note_first(&mut self, mode: RoundMode) -> bool {
        !std::mem::replace(&mut self.ran[mode as usize], true)
    }

    /// Notes that the target has taken a step without any tree.
    pub fn note_plain_step(&mut self) {
        self.drafters.each().for_each(|drafter| drafter.note_plain_step());
    }
}
