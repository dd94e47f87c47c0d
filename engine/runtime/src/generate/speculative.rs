//! Rounds of speculation in one run: plans become submissions, and what was read of them goes back to the controller.
//!
//! Nothing here asks where a tree comes from; drafters stand behind [`crate::speculative::drafter`].

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Costs, GovernorDecision, Lossless, Method, Result, Round, RoundMode};
use understory_speculation::controller::{Controller, RoundPlan};

use super::pipeline::{Pipeline, Work};
use super::waiting::Waiting;
use super::{Task, plain};
use crate::forward::Forward;
use crate::gpu::Gpu;
use crate::speculative::drafter::{DraftRequest, RoundSpec};
use crate::speculative::record::Record;
use crate::speculative::speculator::{CalibratedSpeculator, Speculator};

/// Plain steps of one submission where a method of speculation pauses: one wait for two tokens.
const PAUSED_STEPS: usize = 2;

/// How a text is to be speculated on.
pub struct SpeculativeTask<'a> {
    pub speculator: &'a mut Speculator,
    pub method: &'a Method,
    /// the probability with which a node is accepted, in place of the comparison; for measurements
    pub synthetic_acceptance: Option<f32>,
}

/// What a run keeps for speculation.
pub struct SpeculationState<'a> {
    speculator: CalibratedSpeculator<'a>,
    method: &'a Method,
    synthetic_acceptance: Option<f32>,
    controller: Controller,
    /// its rounds so far
    rounds: Waiting,
    /// the plan of the round that comes next
    next: RoundPlan,
    tree_rows: usize,
    last_read_ms: Option<f64>,
}

/// What is told of rounds at their end.
pub struct Guessed {
    pub rounds: Waiting,
    pub governor: Vec<GovernorDecision>,
    pub lossless: Lossless,
    /// what passes cost by what the rounds took, where that is something else than what was known
    pub refined: Option<Costs>,
}

/// What came with a read, as far as rounds are made of it.
#[derive(Clone, Copy)]
pub struct ReadTokens<'a> {
    pub prompt: &'a [u32],
    /// those read before
    pub chosen: &'a [u32],
    pub tokens: &'a [u32],
    pub at_ms: f64,
}

impl<'a> SpeculationState<'a> {
    /// `before`: rounds of the text that came before this part of it.
    pub fn new(
        speculator: CalibratedSpeculator<'a>,
        (method, synthetic_acceptance): (&'a Method, Option<f32>),
        before: Waiting,
        forward: &Forward,
        task: &Task<'_>,
    ) -> Self {
        let CalibratedSpeculator { round, costs } = &speculator;
        let controller = Controller::new(method, round.drafters.model.is_some(), costs);
        let context = forward.config.max_position_embeddings;
        let end = (task.prompt.len() + task.max_new_tokens).min(context);
        let tree_rows = round.tree_rows(forward, end + MAX_ROWS);
        Self {
            speculator,
            method,
            synthetic_acceptance,
            controller,
            rounds: before,
            next: RoundPlan::plain(),
            tree_rows,
            last_read_ms: None,
        }
    }

    /// Whether the text has tokens from before this part of it.
    pub fn goes_on(&self) -> bool {
        self.rounds.begun()
    }

    /// Begins the request; returns how many rows of the prompt the draft's cache holds.
    pub fn begin(&mut self, gpu: &Gpu, task: &Task<'_>) -> usize {
        let request = DraftRequest { prompt: task.prompt, sampling: task.sampling, method: self.method };
        let CalibratedSpeculator { round, costs } = &mut self.speculator;
        let cached = round.begin(gpu, costs, &request, self.synthetic_acceptance);
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
        let end = horizon.end() + MAX_ROWS;
        forward.reserve_ahead(gpu, positions, end).await?;
        let kernels = &mut *self.speculator.round;
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
        let caught_up = kernels.drafters.catch_up(gpu, &plan, horizon.n_prompt, [positions, end]).await?;
        let round = RoundSpec { plan: &plan, next: &self.next, tree_rows, positions };
        kernels.set_parameters(gpu, &round);
        let (encoder, dispatches) = gpu.encode_pass(|pass| kernels.record(pass, forward, &round, task.sampling));
        let most = plan.most_tokens();
        pipeline.submit(encoder, forward.state(), Work::Round(Box::new(plan)), most);
        Ok(caught_up + dispatches)
    }

    /// Tells controller and drafters what came of `work`; returns the rounds that it was, oldest first.
    pub fn observe(&mut self, work: &Work, record: &Record<'_>, read: &ReadTokens<'_>) -> Vec<Round> {
        let ReadTokens { prompt, chosen, tokens, at_ms } = *read;
        // Nothing was under way while the first token was read: the time of what follows it is not that of a round.
        if matches!(work, Work::First) {
            return self.rounds.rounds(prompt, chosen, tokens);
        }
        let elapsed_ms = self.last_read_ms.replace(at_ms).map(|last| at_ms - last);
        match work {
            Work::First => Vec::new(),
            Work::Steps(steps, plans) => {
                let rounds = self.rounds.rounds(prompt, chosen, tokens);
                for (round, plan) in rounds.iter().zip(plans) {
                    self.controller.observe(round, plan, 0, elapsed_ms.map(|ms| ms / *steps as f64));
                }
                rounds
            }
            Work::Round(plan) => {
                let kernels = &mut *self.speculator.round;
                kernels.observe(record);
                let first = kernels.note_first(plan.mode);
                let elapsed_ms = elapsed_ms.filter(|_| !first);
                let Some(mut round) = record.round(0, plan.mode, tokens) else { return Vec::new() };
                round.index = self.rounds.take_index();
                self.controller.observe(&round, plan, record.matched(), elapsed_ms);
                vec![round]
            }
        }
    }

    /// Counts `rounds`, of whose tokens the first `kept` became part of the text.
    pub fn count(&mut self, rounds: &[Round], kept: usize) {
        self.rounds.count(rounds, kept);
    }

    /// Ends the run, which was `fine` where its text is whole: what the drafters' caches hold, and what there is to tell.
    pub fn finish(self, task: &Task<'_>, chosen: &[u32], fine: bool) -> Guessed {
        let drafters = &mut self.speculator.round.drafters;
        match fine {
            true => drafters.finish(task.prompt, chosen),
            false => drafters.abandon(),
        }
        Guessed {
            refined: self.controller.refined(&self.speculator.costs).filter(|_| fine),
            rounds: self.rounds,
            governor: self.controller.decisions().to_vec(),
            lossless: self.speculator.costs.lossless,
        }
    }
}
