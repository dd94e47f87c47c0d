//! The kernels of a round together with what passes cost on this device. A text is speculated on through a
//! [`CalibratedSpeculator`], which there is only where costs are known.

use understory_protocol::{Costs, Lossless, Result};

use super::draft_model::DraftModel;
use super::measure;
use super::round::RoundKernels;
use crate::forward::Forward;
use crate::gpu::Gpu;

/// What an engine keeps for speculation from request to request.
pub struct Speculator {
    round: RoundKernels,
    costs: Option<Costs>,
}

/// A speculator whose costs are known.
pub struct CalibratedSpeculator<'a> {
    pub round: &'a mut RoundKernels,
    pub costs: &'a Costs,
}

impl Speculator {
    /// Makes the kernels for rounds of `target` without a draft model.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn new(gpu: &Gpu, target: &mut Forward) -> Result<Self> {
        Ok(Self { round: RoundKernels::new(gpu, target).await?, costs: None })
    }

    /// The one in `slot`, or a new one without a draft model.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub async fn in_slot<'a>(slot: &'a mut Option<Self>, gpu: &Gpu, target: &mut Forward) -> Result<&'a mut Self> {
        Ok(match slot {
            Some(speculator) => speculator,
            none => none.insert(Self::new(gpu, target).await?),
        })
    }

    /// Joins `draft` to `target`. The vocabularies are known to agree. Costs are unknown after this.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`].
    pub async fn set_draft(&mut self, gpu: &Gpu, target: &mut Forward, draft: Forward) -> Result<()> {
        let draft = DraftModel::new(gpu, (target, &self.round.verifier), draft).await?;
        self.costs = None;
        self.round.drafters.model = Some(draft);
        Ok(())
    }

    /// The draft model, if there is one.
    pub fn draft(&self) -> Option<&Forward> {
        self.round.drafters.model.as_ref().map(|draft| &draft.forward)
    }

    /// Forgets which texts the drafters' caches hold.
    pub fn clear_caches(&mut self) {
        self.round.drafters.abandon();
    }

    pub fn is_calibrated(&self) -> bool {
        self.costs.is_some()
    }

    /// Takes `cached` as the costs, or else measures them, and sets the mode of `target` that is lossless here.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::DeviceLost`].
    pub async fn calibrate(
        &mut self,
        gpu: &Gpu,
        target: &mut Forward,
        cached: Option<Costs>,
    ) -> Result<CalibratedSpeculator<'_>> {
        let costs = match cached {
            Some(costs) => costs,
            None => measure::measure(gpu, target, &mut self.round).await?,
        };
        target.shared_pipeline = costs.lossless == Lossless::SharedPipeline;
        Ok(CalibratedSpeculator { round: &mut self.round, costs: self.costs.insert(costs) })
    }

    /// This speculator with the costs that are known, or else with those measured now.
    ///
    /// # Errors
    /// Those of [`Self::calibrate`].
    pub async fn calibrated(&mut self, gpu: &Gpu, target: &mut Forward) -> Result<CalibratedSpeculator<'_>> {
        let known = self.costs.take();
        self.calibrate(gpu, target, known).await
    }
}
