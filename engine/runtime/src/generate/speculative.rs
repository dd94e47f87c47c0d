//! Rounds of speculation in one run: plans become submissions, and what was read of them goes back to the controller.
//!
//! Nothing here asks where a tree comes from; drafters stand behind [`crate::speculative::drafter`].

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Method, Result, Round, RoundMode, Speculation};
use understory_speculation::controller::{Controller, RoundPlan};
use understory_speculation::stats::{Stats, Totals};

use super::pipeline::{Horizon, Pipeline, Work};
use super::{Task, Timeline, plain};
use crate::forward::Forward;
use crate::gpu::Gpu;
use crate::speculative::drafter::{DraftRequest, RoundSpec};
use crate::speculative::record::{Record, plain_round};
use crate::speculative::speculator::CalibratedSpeculator;

/// Plain steps of one submission where a method of speculation pauses: one wait for two tokens.
const PAUSED_STEPS: usize = 2;

/// How a text is to be speculated on: there is none without costs.
pub struct SpeculativeTask<'a> {
    pub speculator: CalibratedSpeculator<'a>,
    pub method: &'a Method,
    /// the probability with which a node is accepted, in place of the comparison; for measurements
    pub synthetic_acceptance: Option<f32>,
}

/// What a run keeps for speculation.
pub struct SpeculationState<'a> {
    how: SpeculativeTask<'a>,
    controller: Controller,
    stats: Stats,
    /// the plan of the round that comes next
    next: RoundPlan,
    tree_rows: usize,
    /// rounds read
    count: usize,
    last_read_ms: Option<f64>,
}

/// What came with a read, as far as rounds are made of it.
pub struct ReadTokens<'a> {
    /// those read before
    pub chosen: &'a [u32],
    pub tokens: &'a [u32],
    pub at_ms: f64,
}

impl<'a> SpeculationState<'a> {
    pub fn new(how: SpeculativeTask<'a>, forward: &Forward, horizon: &Horizon) -> Self {
        let CalibratedSpeculator { round, costs } = &how.speculator;
        let controller = Controller::new(how.method, round.drafters.model.is_some(), costs);
        let tree_rows = round.tree_rows(forward, horizon.n_prompt + horizon.limit + MAX_ROWS);
        Self {
            how,
            controller,
            stats: Stats::default(),
            next: RoundPlan::plain(),
            tree_rows,
            count: 0,
            last_read_ms: None,
        }
    }

    /// Begins the request; returns how many rows of the prompt the draft's cache holds.
    pub fn begin(&mut self, gpu: &Gpu, forward: &Forward, task: &Task<'_>) -> usize {
        let request = DraftRequest { prompt: task.prompt, sampling: task.sampling, method: self.how.method };
        let CalibratedSpeculator { round, costs } = &mut self.how.speculator;
        let cached = round.begin(gpu, forward, costs, &request, self.how.synthetic_acceptance);
        self.controller.begin(task.prompt, task.prompt.len() - cached);
        self.next = self.controller.plan();
        cached
    }

    /// Submits the next round, or plain steps where the plan is to pause; returns the dispatches. `n_chosen` tokens have
    /// been read.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`].
    pub async fn enqueue(
        &mut self,
        pipeline: &mut Pipeline<'_>,
        forward: &mut Forward,
        task: &Task<'_>,
        n_chosen: usize,
    ) -> Result<usize> {
        let (gpu, horizon, tree_rows) = (pipeline.gpu, pipeline.horizon, self.tree_rows);
        let positions = horizon.most_positions(tree_rows.max(PAUSED_STEPS)) + MAX_ROWS;
        forward.reserve(gpu, positions).await?;
        let kernels = &mut *self.how.speculator.round;
        let mut plan = std::mem::replace(&mut self.next, self.controller.plan());
        let most = plan.most_tokens();
        let reach = kernels.drafters.reach(&plan);
        if horizon.most_positions(most) > reach {
            if horizon.n_prompt + (n_chosen + most).min(horizon.limit) > reach {
                self.controller.lose_draft();
            }
            // What was looked up for this round is verified still.
            plan = RoundPlan { mode: RoundMode::Lookup, levels: 0, chain: true, ..plan };
        }
        if plan.mode == RoundMode::Plain {
            let steps = match self.next.mode {
                RoundMode::Plain if horizon.left() > 1 => PAUSED_STEPS,
                _ => 1,
            };
            let mut plans = vec![plan];
            for _ in 1..steps {
                plans.push(std::mem::replace(&mut self.next, self.controller.plan()));
            }
            for _ in 0..steps {
                kernels.note_plain_step();
            }
            return Ok(plain::submit_steps(pipeline, forward, task.sampling, steps, plans));
        }
        let caught_up = kernels.drafters.catch_up(gpu, &plan, horizon.n_prompt, positions).await?;
        let round = RoundSpec { plan: &plan, next: &self.next, tree_rows, positions };
        kernels.set_parameters(gpu, &round);
        let (encoder, dispatches) = gpu.encode_pass(|pass| kernels.record(pass, forward, &round, task.sampling));
        let most = plan.most_tokens();
        pipeline.submit(encoder, forward.state(), Work::Round(Box::new(plan)), most);
        Ok(caught_up + dispatches)
    }

    /// Tells controller and drafters what came of `work`; returns the rounds that it was, oldest first.
    pub fn observe(&mut self, work: &Work, record: &Record<'_>, read: &ReadTokens<'_>, n_prompt: usize) -> Vec<Round> {
        // Nothing was under way while the first token was read: the time of what follows it is not that of a round.
        if matches!(work, Work::First) {
            return Vec::new();
        }
        let elapsed_ms = self.last_read_ms.replace(read.at_ms).map(|last| read.at_ms - last);
        let mut rounds = Vec::new();
        match work {
            Work::First => {}
            Work::Steps(steps, plans) => {
                let known = read.chosen.len();
                for (i, (&token, plan)) in read.tokens.iter().zip(plans).enumerate() {
                    let position = n_prompt + known + i - 1;
                    let before = if i == 0 { read.chosen[known - 1] } else { read.tokens[i - 1] };
                    let round = plain_round(self.count, position, before, token);
                    self.count += 1;
                    self.controller.observe(&round, plan, 0, elapsed_ms.map(|ms| ms / *steps as f64));
                    rounds.push(round);
                }
            }
            Work::Round(plan) => {
                let kernels = &mut *self.how.speculator.round;
                kernels.observe(record);
                let first = kernels.note_first(plan.mode);
                let elapsed_ms = elapsed_ms.filter(|_| !first);
                if let Some(round) = record.round(self.count, plan.mode, read.tokens) {
                    self.count += 1;
                    self.controller.observe(&round, plan, record.matched(), elapsed_ms);
                    rounds.push(round);
                }
            }
        }
        rounds
    }

    /// Counts `rounds`, of whose tokens the first `kept` became part of the text.
    pub fn count(&mut self, rounds: &[Round], mut kept: usize) {
        for round in rounds {
            let of_this = kept.min(round.emitted.len());
            if of_this > 0 {
                self.stats.observe(round, of_this);
            }
            kept -= of_this;
        }
    }

    /// Ends the run, which was `fine` where its text is whole: what the drafters' caches hold, and the counts.
    pub fn finish(self, timeline: &Timeline, task: &Task<'_>, chosen: &[u32], fine: bool) -> Speculation {
        let drafters = &mut self.how.speculator.round.drafters;
        match fine {
            true => drafters.finish(task.prompt, chosen),
            false => drafters.abandon(),
        }
        self.stats.finish(Totals {
            method: *self.how.method,
            tokens: chosen.len(),
            emissions: timeline.emissions,
            host_syncs: timeline.host_syncs,
            governor: self.controller.decisions().to_vec(),
            lossless: self.how.speculator.costs.lossless,
            synthetic_acceptance: self.how.synthetic_acceptance,
        })
    }
}
