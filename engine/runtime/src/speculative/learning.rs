//! What is to be found out before a text is speculated on, as work that can be left and taken up again: the pipelines of
//! rounds, whether rounds are lossless, and what passes cost. A step of it is one pipeline or one or two passes, so nobody
//! waits long for it to end.
//!
//! It has KV caches of its own, and what else it writes every request begins anew: it may go on between two requests, or
//! between two tokens of one.

use std::collections::HashSet;
use std::sync::Arc;

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Costs, Lossless, Result};
use understory_speculation::prior;
use understory_speculation::prune::verify_ms;
use web_time::Instant;

use super::drafter::Drafter;
use super::measure::Timing;
use super::round::RoundKernels;
use super::self_test::{PATH, SelfTest};
use crate::forward::{Forward, SpareCache};
use crate::gpu::{Gpu, Pipeline};

pub(super) const DOING: &str = "measuring the device";
/// Keys before the rows that are compared and measured: what a text of some length has, since every row pays for them
/// again. The path crosses the 256 at which attention splits.
const CONTEXT: usize = 254;

/// How far it is.
enum Stage {
    Pipelines,
    Caches,
    /// every kernel of a round runs once, with no rows
    WarmUp,
    Test,
    Times,
    Done,
    /// It is not tried again by itself.
    Failed,
}

/// A KV cache for each model: the target's, then the drafters'.
type Caches = Vec<SpareCache>;

/// What is known of a device's costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    pub costs: Costs,
    /// All of them were measured; otherwise some are predicted.
    pub complete: bool,
}

pub struct Learning {
    stage: Stage,
    /// pipelines that have run, by address
    ran: HashSet<*const Pipeline>,
    caches: Caches,
    test: Option<SelfTest>,
    lossless: Option<Lossless>,
    timing: Timing,
    /// kept ones that are not complete: partly predicted, or refined by rounds
    before: Option<Costs>,
    /// complete ones, measured or kept
    costs: Option<Costs>,
    /// Rounds do not refine them: measurements are to be compared.
    is_fixed: bool,
    spent_ms: f64,
    /// of which from the self-test on
    measuring_ms: f64,
}

impl Learning {
    /// `kept`: what was learned once of the same device, models and build. Where it is complete, only pipelines are left
    /// to do, and otherwise no self-test.
    pub fn new(kept: Option<Learned>) -> Self {
        let lossless = kept.as_ref().map(|kept| kept.costs.lossless);
        let (costs, before) = match kept {
            Some(Learned { costs, complete: true }) => (Some(costs), None),
            Some(Learned { costs, complete: false }) => (None, Some(costs)),
            None => (None, None),
        };
        Self {
            stage: Stage::Pipelines,
            ran: HashSet::new(),
            caches: Vec::new(),
            test: None,
            lossless,
            timing: Timing::default(),
            before,
            costs,
            is_fixed: false,
            spent_ms: 0.0,
            measuring_ms: 0.0,
        }
    }

    /// Begins anew; pipelines that have run need not run again.
    pub fn restart(&mut self, kept: Option<Learned>, is_fixed: bool) {
        let ran = std::mem::take(&mut self.ran);
        *self = Self { ran, is_fixed, ..Self::new(kept) };
    }

    /// What the self-test found, where rounds may run by it: their pipelines are there, and it is known what they cost.
    pub fn verdict(&self) -> Option<Lossless> {
        let may_run = match self.stage {
            Stage::Caches | Stage::Times => self.before.is_some() || self.timing.is_something(),
            Stage::Done => true,
            Stage::Pipelines | Stage::WarmUp | Stage::Test | Stage::Failed => false,
        };
        self.lossless.filter(|_| may_run)
    }

    /// What the self-test found, or had found before.
    pub fn lossless(&self) -> Option<Lossless> {
        self.lossless
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Failed)
    }

    /// Nothing more is tried by itself.
    pub fn give_up(&mut self) {
        self.end(Stage::Failed);
    }

    /// Costs that were measured completely, or kept ones.
    pub fn complete(&self) -> Option<&Costs> {
        self.costs.as_ref()
    }

    /// Costs by what is known: what is not measured yet is predicted.
    pub fn costs(&self, target: &Forward, round: &RoundKernels) -> Option<Costs> {
        if let Some(costs) = &self.costs {
            return Some(costs.clone());
        }
        if let Some(before) = &self.before {
            return Some(self.timing.known().map_or_else(|| before.clone(), |known| prior::updated(before, known)));
        }
        let draft = round.drafters.model.as_ref();
        let share = draft.map(|draft| draft.forward.weights.bytes as f64 / target.weights.bytes.max(1) as f64);
        Some(prior::costs(target.kernel_set(), self.timing.known()?, share, self.lossless?))
    }

    /// Takes the costs that rounds of a text were seen to have.
    pub fn refine(&mut self, costs: Costs) {
        match &mut self.costs {
            _ if self.is_fixed => {}
            Some(known) => *known = costs,
            None => self.before = Some(costs),
        }
    }

    /// Takes a step; false: there was none left. Passes expected to take longer than `limit_ms` are left out where
    /// something can be decided without them.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::Device`],
    /// [`understory_protocol::Error::DeviceLost`].
    pub async fn step(
        &mut self,
        gpu: &Gpu,
        target: &mut Forward,
        round: &mut RoundKernels,
        limit_ms: f64,
    ) -> Result<bool> {
        if self.is_over() {
            return Ok(false);
        }
        let start = Instant::now();
        let has_caches = !self.caches.is_empty();
        if has_caches {
            self.swap_caches(target, round);
        }
        let stepped = self.step_here(gpu, target, round, limit_ms).await;
        if has_caches {
            self.swap_caches(target, round);
        }
        target.begin(gpu, &[0], 1, 0);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        self.spent_ms += ms;
        if matches!(self.stage, Stage::Test | Stage::Times) {
            self.measuring_ms += ms;
        }
        match stepped? {
            None => {}
            Some(Stage::Done) => self.end(Stage::Done),
            Some(next) => self.stage = next,
        }
        Ok(true)
    }

    /// The stage that comes next, if it is another.
    async fn step_here(
        &mut self,
        gpu: &Gpu,
        target: &mut Forward,
        round: &mut RoundKernels,
        limit_ms: f64,
    ) -> Result<Option<Stage>> {
        let base = CONTEXT.min(target.config.max_position_embeddings.saturating_sub(PATH + 2));
        let positions = base + PATH + MAX_ROWS;
        Ok(match self.stage {
            Stage::Pipelines => match self.run_one(gpu, target, round).await? {
                true => None,
                false if self.costs.is_some() => Some(Stage::Done),
                false => Some(Stage::Caches),
            },
            Stage::Caches => {
                self.caches.push(target.spare_cache(gpu, positions).await?);
                for forward in round.drafters.each().filter_map(Drafter::forward_mut) {
                    self.caches.push(forward.spare_cache(gpu, positions).await?);
                }
                Some(if self.lossless.is_some() { Stage::Times } else { Stage::WarmUp })
            }
            Stage::WarmUp => {
                target.begin(gpu, &[0], 1, 0);
                target.set_rows(gpu, &[], 0);
                let tree_rows = round.tree_rows(target, positions);
                round.submit_empty_round(gpu, target, tree_rows, positions);
                gpu.wait(DOING).await?;
                self.test = Some(SelfTest::new(gpu, target).await?);
                Some(Stage::Test)
            }
            Stage::Test => {
                target.begin(gpu, &[0], 1, 0);
                let tree_rows = round.tree_rows(target, positions);
                let trees = &round.verifier.trees;
                match &mut self.test {
                    Some(test) => self.lossless = test.step(gpu, (target, trees), tree_rows, base).await?,
                    None => self.lossless = Some(Lossless::Off),
                }
                self.lossless.map(|_| Stage::Times)
            }
            Stage::Times => {
                target.begin(gpu, &[0], positions, 0);
                let tree_rows = round.tree_rows(target, positions);
                let expected = self.costs(target, round).map(|costs| verify_ms(&costs));
                let expected = |rows: usize| expected.map_or(0.0, |table| f64::from(table[rows]));
                let lossless = self.lossless.unwrap_or(Lossless::Off);
                let own = std::mem::replace(&mut target.shared_pipeline, lossless == Lossless::SharedPipeline);
                let (at, limit) = ((tree_rows, base), (limit_ms, &expected as &dyn Fn(usize) -> f64));
                let more = self.timing.step(gpu, (target, round), at, self.measuring_ms, limit).await;
                target.shared_pipeline = own;
                if more? {
                    None
                } else {
                    self.costs = Some(self.timing.costs(lossless, self.spent_ms));
                    Some(Stage::Done)
                }
            }
            Stage::Done | Stage::Failed => None,
        })
    }

    /// Compiles a pipeline of rounds and dispatches no workgroups of it: some drivers compile when they first see a
    /// dispatch. False: none is left.
    async fn run_one(&mut self, gpu: &Gpu, target: &Forward, round: &RoundKernels) -> Result<bool> {
        let mut left = round.dispatches(target).filter_map(|(class, dispatch)| {
            let (pipeline, _) = dispatch.variants[class as usize].as_ref()?;
            (!self.ran.contains(&Arc::as_ptr(pipeline))).then_some((pipeline, &dispatch.bind_group))
        });
        let Some((pipeline, bind_group)) = left.next() else {
            #[cfg(not(target_family = "wasm"))]
            gpu.write_pipelines();
            return Ok(false);
        };
        pipeline.compile(gpu).await?;
        gpu.submit_pass(|pass| {
            pass.set_pipeline(pipeline.raw());
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(0, 0, 0);
        });
        gpu.wait(DOING).await?;
        self.ran.insert(Arc::as_ptr(pipeline));
        Ok(true)
    }

    /// Exchanges the models' KV caches for those of this, and back.
    fn swap_caches(&mut self, target: &mut Forward, round: &mut RoundKernels) {
        let mut caches = self.caches.iter_mut();
        if let Some(spare) = caches.next() {
            target.swap_cache(spare);
        }
        for (forward, spare) in round.drafters.each().filter_map(Drafter::forward_mut).zip(caches) {
            forward.swap_cache(spare);
        }
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.caches.clear();
        self.test = None;
    }
}
