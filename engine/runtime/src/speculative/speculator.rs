//! The kernels of a round together with what is learned of this device. A text is speculated on through a
//! [`CalibratedSpeculator`], which there is only where rounds are known to be lossless, and their costs.

use understory_protocol::{Costs, Lossless, Result};

use super::draft_model::DraftModel;
use super::learning::{Learned, Learning};
use super::round::RoundKernels;
use crate::forward::Forward;
use crate::gpu::Gpu;

/// What an engine keeps for speculation from request to request.
pub struct Speculator {
    /// `None` until they are needed
    round: Option<RoundKernels>,
    learning: Learning,
    /// of learning, so far
    steps: usize,
}

/// A speculator that knows what is to be known.
pub struct CalibratedSpeculator<'a> {
    pub round: &'a mut RoundKernels,
    pub costs: Costs,
}

impl Speculator {
    /// Nothing is made yet.
    pub fn new() -> Self {
        Self { round: None, learning: Learning::new(None), steps: 0 }
    }

    /// The kernels for rounds of `target`. Those that are new are compiled later: by [`Self::learn_one`].
    async fn round<'a>(
        slot: &'a mut Option<RoundKernels>,
        gpu: &Gpu,
        target: &mut Forward,
    ) -> Result<&'a mut RoundKernels> {
        if slot.is_none() {
            target.pipelines.set_for_rounds(true);
            let made = RoundKernels::new(gpu, target).await;
            target.pipelines.set_for_rounds(false);
            *slot = Some(made?);
        }
        Ok(slot.as_mut().expect("just made"))
    }

    /// Joins `draft` to `target`. The vocabularies are known to agree. Nothing is known of rounds after this.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn set_draft(&mut self, gpu: &Gpu, target: &mut Forward, mut draft: Forward) -> Result<()> {
        let round = Self::round(&mut self.round, gpu, target).await?;
        target.pipelines.set_for_rounds(true);
        draft.pipelines.set_for_rounds(true);
        let joined = DraftModel::new(gpu, (&mut *target, &round.verifier), draft).await;
        target.pipelines.set_for_rounds(false);
        let mut draft = joined?;
        draft.forward.pipelines.set_for_rounds(false);
        self.learning = Learning::new(None);
        round.drafters.model = Some(draft);
        Ok(())
    }

    /// The draft model, if there is one.
    pub fn draft(&self) -> Option<&Forward> {
        self.round.as_ref()?.drafters.model.as_ref().map(|draft| &draft.forward)
    }

    /// Forgets which texts the drafters' caches hold.
    pub fn clear_caches(&mut self) {
        if let Some(round) = &mut self.round {
            round.drafters.abandon();
        }
    }

    pub fn learning(&self) -> &Learning {
        &self.learning
    }

    /// Begins with `kept` in place of what is known.
    pub fn keep(&mut self, kept: Learned) {
        self.learning.restart(Some(kept), false);
    }

    /// Takes a step of what is left to do before texts can be speculated on, or are at known costs; false: there was
    /// none. `limit_ms`: as for [`Learning::step`]. After an error there is none left.
    ///
    /// # Errors
    /// Those of [`Learning::step`].
    pub async fn learn_one(&mut self, gpu: &Gpu, target: &mut Forward, limit_ms: f64) -> Result<bool> {
        if self.learning.is_over() {
            return Ok(false);
        }
        self.steps += 1;
        let stepped = self.step(gpu, target, limit_ms).await;
        if stepped.is_err() {
            self.learning.give_up();
        }
        stepped
    }

    /// Steps of learning so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    async fn step(&mut self, gpu: &Gpu, target: &mut Forward, limit_ms: f64) -> Result<bool> {
        if target.compile_one(gpu).await? {
            return Ok(true);
        }
        if self.round.is_none() {
            Self::round(&mut self.round, gpu, target).await?;
            return Ok(true);
        }
        let round = Self::round(&mut self.round, gpu, target).await?;
        if let Some(draft) = &round.drafters.model
            && draft.forward.compile_one(gpu).await?
        {
            return Ok(true);
        }
        self.learning.step(gpu, target, round, limit_ms).await
    }

    /// Takes `cached` as what is known, or else learns it anew, to the end; rounds do not change it.
    ///
    /// # Errors
    /// Those of [`Learning::step`].
    pub async fn calibrate(&mut self, gpu: &Gpu, target: &mut Forward, cached: Option<Costs>) -> Result<&Costs> {
        self.learning.restart(cached.map(|costs| Learned { costs, complete: true }), true);
        self.finish(gpu, target).await?;
        self.apply(target);
        Ok(self.learning.complete().expect("complete at its end"))
    }

    /// Learns what is left, to the end.
    ///
    /// # Errors
    /// Those of [`Learning::step`].
    pub async fn finish(&mut self, gpu: &Gpu, target: &mut Forward) -> Result<()> {
        while self.learn_one(gpu, target, f64::INFINITY).await? {}
        Ok(())
    }

    /// Sets the mode of `target` that is lossless here; between texts, as it may change their bits.
    pub fn apply(&self, target: &mut Forward) {
        let Some(verdict) = self.learning.lossless() else { return };
        let shared = verdict == Lossless::SharedPipeline;
        if target.shared_pipeline != shared {
            target.shared_pipeline = shared;
            target.cache.invalidate();
        }
    }

    /// What is known of costs so far; `None` before the self-test is done.
    pub fn learned(&self, target: &Forward) -> Option<Learned> {
        let complete = self.learning.complete().is_some();
        Some(Learned { costs: self.learning.costs(target, self.round.as_ref()?)?, complete })
    }

    /// This speculator, if the text that `target` writes can be speculated on from here.
    pub fn calibrated(&mut self, target: &Forward) -> Option<CalibratedSpeculator<'_>> {
        let verdict = self.learning.verdict()?;
        // In the middle of a text the pipelines of plain steps stay what they are.
        if verdict != Lossless::Off && target.shared_pipeline != (verdict == Lossless::SharedPipeline) {
            return None;
        }
        let round = self.round.as_mut()?;
        let costs = self.learning.costs(target, round)?;
        Some(CalibratedSpeculator { round, costs })
    }

    /// As [`Learning::refine`].
    pub fn refine(&mut self, costs: Costs) {
        self.learning.refine(costs);
    }
}
