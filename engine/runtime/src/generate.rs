//! Generation, resident on the device: a chosen token stays there, the next steps or rounds are enqueued before it is
//! read, and the host stops late: what ran beyond the end is dropped.
//!
//! Plain decoding and every method of speculation are the same loop; they differ in what a submission holds.

use std::collections::VecDeque;

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Error, Method, Result, Round, RoundMode, Sampling, Speculation};
use understory_speculation::controller::{Controller, RoundPlan};
use understory_speculation::stats::{Stats, Totals};
use web_time::Instant;

use crate::forward::{Forward, Tail};
use crate::gpu::{Gpu, Staging};
use crate::kernels::state::{HEAD_WORDS, NO_TOKEN};
use crate::speculative::record::{Record, plain_round};
use crate::speculative::speculator::Speculator;

/// Submissions under way at once: one being read, the others running or waiting to run.
const IN_FLIGHT: usize = 3;
/// Plain steps of one submission: a browser takes 0.5 to 2 ms (Chromium) or up to 100 ms (Firefox) to hand over a read,
/// so that several tokens share one there.
const PLAIN_STEPS: usize = if cfg!(target_family = "wasm") { 6 } else { 1 };
/// Plain steps of one submission where a method of speculation pauses: one wait for two tokens.
const PAUSED_STEPS: usize = 2;
const DOING: &str = "generating";

/// What the loop is to do.
pub struct Task<'a> {
    pub prompt: &'a [u32],
    /// tokens at the prompt's end that were decoded before: their rows are computed as decoding does
    pub n_decoded: usize,
    pub max_new_tokens: usize,
    pub sampling: &'a Sampling,
    pub method: &'a Method,
    pub synthetic_acceptance: Option<f32>,
}

/// Tokens that came with one read.
#[derive(Clone, Debug)]
pub struct Emission {
    pub tokens: Vec<u32>,
    pub at_ms: f64,
    /// the rounds they came from, oldest first; none for the first token and for plain decoding
    pub rounds: Vec<Round>,
}

/// Times and counts of one run of the loop, in milliseconds from `start`.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub submitted_ms: f64,
    /// when each token was read
    pub read_ms: Vec<f64>,
    /// recorded after the prompt
    pub dispatches: usize,
    pub reused_tokens: usize,
    pub host_syncs: usize,
    pub emissions: usize,
    pub speculation: Option<Speculation>,
}

/// Keeps the read-back buffers of a [`Forward`] between requests.
pub struct Decoder {
    staging: Vec<Staging>,
}

/// What a submission holds.
enum Kind {
    /// the end of the prompt, which gives the first token
    First,
    /// plain steps; with speculation the plans that they were made by, one a step
    Steps(usize, Vec<RoundPlan>),
    Round(Box<RoundPlan>),
}

/// A submission that has not been read.
struct InFlight {
    kind: Kind,
    staging: usize,
    /// tokens that it chooses at most
    most: usize,
}

impl Decoder {
    pub async fn new(gpu: &Gpu) -> Result<Self> {
        let mut staging = Vec::with_capacity(IN_FLIGHT);
        for _ in 0..IN_FLIGHT {
            staging.push(Staging::new(gpu, 4 * HEAD_WORDS as u64).await?);
        }
        Ok(Self { staging })
    }

    /// Runs `task`, handing over each emission; from it comes how many of its tokens are wanted, fewer than all end
    /// the run. `speculator` is needed for every method but `ar`.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::PromptTooLong`] before any work; [`Error::NanLogits`],
    /// [`Error::DeviceLost`], [`Error::OutOfDeviceMemory`].
    pub async fn run(
        &mut self,
        gpu: &Gpu,
        forward: &mut Forward,
        speculator: Option<&mut Speculator>,
        task: &Task<'_>,
        start: Instant,
        on_emission: &mut dyn FnMut(&Emission) -> Result<Consumed>,
    ) -> Result<Timeline> {
        let context = forward.config.max_position_embeddings;
        check_prompt(task.prompt, context, forward.config.vocab_size)?;
        let limit = task.max_new_tokens.min(context - task.prompt.len());
        let now = || start.elapsed().as_secs_f64() * 1e3;
        let mut run = Run {
            gpu,
            staging: &mut self.staging,
            task,
            n_prompt: task.prompt.len(),
            limit,
            n_submitted: 0,
            enqueued: 0,
            most_chosen: 0,
            chosen: Vec::new(),
            timeline: Timeline { submitted_ms: now(), ..Default::default() },
            rounds: speculator.map(|speculator| SpeculationState::new(speculator, forward, task, limit)),
        };
        let outcome = run.prepare(forward).await;
        let outcome = match outcome {
            Ok(()) => run.steps(forward, &now, on_emission).await,
            Err(e) => Err(e),
        };
        let Run { chosen, timeline, rounds, staging, .. } = run;
        // Nobody wants the reads of these steps any more, but their buffers.
        let drained = Staging::drain(staging, gpu, DOING).await;
        let fine = outcome.is_ok() && drained.is_ok();
        let timeline = match rounds {
            Some(rounds) => rounds.finish(timeline, task, &chosen, fine),
            None => timeline,
        };
        if fine {
            // The last token chosen has not been through the layers.
            forward.cache.tokens = task.prompt.to_vec();
            forward.cache.tokens.extend(&chosen[..chosen.len().saturating_sub(1)]);
        }
        if let (Ok(()), Err(error)) = (&outcome, &drained) {
            // The text is whole: what became of the device is for the next request to find.
            tracing::warn!("after the last token: {error}");
            forward.cache.tokens.clear();
        }
        outcome.map(|()| timeline)
    }
}

/// How many of an emission's tokens became part of the text, and whether more are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub kept: usize,
    pub more: bool,
}

/// One run of the loop.
struct Run<'a> {
    gpu: &'a Gpu,
    staging: &'a mut Vec<Staging>,
    task: &'a Task<'a>,
    n_prompt: usize,
    limit: usize,
    n_submitted: usize,
    /// tokens that are under way at least
    enqueued: usize,
    /// tokens read, and those that what is under way chooses at most, were there no limit
    most_chosen: usize,
    /// tokens that are part of the text
    chosen: Vec<u32>,
    timeline: Timeline,
    rounds: Option<SpeculationState<'a>>,
}

/// What a run keeps for speculation.
struct SpeculationState<'a> {
    speculator: &'a mut Speculator,
    controller: Controller,
    stats: Stats,
    /// the plan of the round that comes next
    next: RoundPlan,
    tree_rows: usize,
    count: usize,
    /// rows of the prompt that the draft's cache holds; `None`: all of them, from the first round with a draft on
    draft_known: Option<usize>,
    /// rows of the draft's cache at the last read
    draft_len: usize,
    last_read_ms: Option<f64>,
}

impl<'a> SpeculationState<'a> {
    fn new(speculator: &'a mut Speculator, forward: &Forward, task: &Task<'_>, limit: usize) -> Self {
        let costs = speculator.costs.clone().expect("calibrate() before speculation");
        let controller = Controller::new(task.method, speculator.draft.is_some(), &costs);
        let tree_rows = speculator.tree_rows(forward, task.prompt.len() + limit + MAX_ROWS);
        Self {
            speculator,
            controller,
            stats: Stats::default(),
            next: RoundPlan::plain(),
            tree_rows,
            count: 0,
            draft_known: None,
            draft_len: 0,
            last_read_ms: None,
        }
    }

    /// Shows the draft what it has not seen, the prompt first: nothing of that is done for a text that it has no part
    /// in, nor before the first token.
    /// Returns the dispatches of the rest.
    async fn sync_draft_cache(&mut self, gpu: &Gpu, n_prompt: usize, positions: usize) -> Result<usize> {
        if let Some(draft) = &mut self.speculator.draft {
            draft.forward.reserve(gpu, positions).await?;
            if let Some(known) = self.draft_known.take() {
                draft.prefill_prompt(gpu, known, n_prompt);
            }
        }
        Ok(self.speculator.catch_up(gpu, positions))
    }

    /// Ends the run: what the draft's cache holds, and the counts.
    fn finish(self, mut timeline: Timeline, task: &Task<'_>, chosen: &[u32], fine: bool) -> Timeline {
        if let Some(draft) = &mut self.speculator.draft {
            draft.forward.cache.tokens.clear();
            if fine {
                // Rounds beyond the end only wrote rows behind these.
                let all = task.prompt.iter().chain(chosen);
                draft.forward.cache.tokens.extend(all.take(self.draft_len));
            }
        }
        let lossless = self.speculator.costs.as_ref().expect("checked at the start").lossless;
        timeline.speculation = Some(self.stats.finish(Totals {
            method: *task.method,
            tokens: chosen.len(),
            emissions: timeline.emissions,
            host_syncs: timeline.host_syncs,
            governor: self.controller.decisions().to_vec(),
            lossless,
            synthetic_acceptance: task.synthetic_acceptance,
        }));
        timeline
    }
}

impl Run<'_> {
    async fn prepare(&mut self, forward: &mut Forward) -> Result<()> {
        let (gpu, task) = (self.gpu, self.task);
        forward.reserve(gpu, self.first_positions(forward)).await?;
        forward.sampler.prepare(gpu, task.sampling, forward.config.vocab_size);
        let reused = forward.cache.reusable(task.prompt);
        self.timeline.reused_tokens = reused;
        // Until the prompt is in, only the reused rows are known to be right.
        forward.cache.tokens.truncate(reused);
        let mut draft_known = 0;
        if let Some(rounds) = &mut self.rounds {
            rounds.speculator.prepare(gpu, forward, task.method, task.sampling, task.synthetic_acceptance);
            if let Some(draft) = &mut rounds.speculator.draft {
                draft_known = draft.forward.cache.reusable(task.prompt);
                draft.forward.cache.tokens.truncate(draft_known);
            }
            rounds.draft_known = Some(draft_known);
            rounds.draft_len = draft_known;
            rounds.controller.begin(task.prompt, task.prompt.len() - draft_known);
            rounds.next = rounds.controller.plan();
        }
        forward.begin(gpu, task.prompt, self.n_prompt + self.limit, draft_known);
        Ok(())
    }

    /// Positions that the caches are to hold at first: those of the prompt and of up to 128 tokens and, with
    /// speculation, the slots of a tree.
    fn first_positions(&self, forward: &Forward) -> usize {
        let tokens = self.n_prompt + self.limit.min(128);
        match self.rounds {
            Some(_) => tokens + MAX_ROWS,
            None => tokens.min(forward.config.max_position_embeddings),
        }
    }

    /// Prefill, then submissions until `limit` tokens are chosen or `on_emission` ends the run.
    async fn steps(
        &mut self,
        forward: &mut Forward,
        now: &dyn Fn() -> f64,
        on_emission: &mut dyn FnMut(&Emission) -> Result<Consumed>,
    ) -> Result<()> {
        let mut reads = VecDeque::from([self.prefill(forward)]);
        while let Some(read) = reads.pop_front() {
            // Keep the device busy before waiting for it; but nothing comes before the first token. What is there
            // already is read first: plans follow from it, and some drivers hold up a submission until the one before
            // it has ended, so that news and the time of their arrival would be a round old.
            while !matches!(read.kind, Kind::First)
                && self.enqueued < self.limit
                && reads.len() + 1 < IN_FLIGHT
                && (reads.is_empty() || !self.staging[read.staging].is_ready(self.gpu))
            {
                reads.push_back(self.enqueue(forward).await?);
            }
            let gpu = self.gpu;
            let words = self.staging[read.staging].finish(gpu, DOING, bytemuck::pod_collect_to_vec::<u8, u32>).await?;
            self.timeline.host_syncs += 1;
            let at_ms = now();
            let emission = self.process_readback(&read, &Record(&words), at_ms)?;
            if emission.tokens.is_empty() {
                continue;
            }
            let wanted = on_emission(&emission)?;
            self.chosen.extend(&emission.tokens[..wanted.kept]);
            self.timeline.read_ms.extend(std::iter::repeat_n(at_ms, wanted.kept));
            self.timeline.emissions += 1;
            if let Some(rounds) = &mut self.rounds {
                let mut kept = wanted.kept;
                for round in &emission.rounds {
                    let of_this = kept.min(round.emitted.len());
                    if of_this > 0 {
                        rounds.stats.observe(round, of_this);
                    }
                    kept -= of_this;
                }
            }
            if !wanted.more {
                break;
            }
            if matches!(read.kind, Kind::First) && self.limit > 1 {
                reads.push_back(self.enqueue(forward).await?);
            }
        }
        Ok(())
    }

    /// Submits the prompt; the last chunk chooses the first token.
    fn prefill(&mut self, forward: &Forward) -> InFlight {
        let mut base = self.timeline.reused_tokens;
        loop {
            let read = self.n_prompt - self.task.n_decoded;
            let rows = match base < read {
                true => forward.next_chunk(base, read - base),
                false => forward.next_chunk(base, self.n_prompt - base).min(forward.few_rows(base)),
            };
            forward.set_rows(self.gpu, &self.task.prompt[base..base + rows], base);
            let last = base + rows == self.n_prompt;
            let tail = match last {
                true => Tail::Sample(forward.sampler.choice(self.task.sampling)),
                false => Tail::Nothing,
            };
            let (encoder, _) = self.gpu.encode_pass(|pass| forward.record(pass, rows, base, &tail));
            if last {
                self.enqueued = 1;
                return self.submit(forward, encoder, Kind::First, 1);
            }
            self.gpu.queue().submit([encoder.finish()]);
            base += rows;
        }
    }

    /// Submits the next steps or the next round.
    async fn enqueue(&mut self, forward: &mut Forward) -> Result<InFlight> {
        let gpu = self.gpu;
        let most_positions = self.most_positions();
        let Some(rounds) = &mut self.rounds else {
            let steps = PLAIN_STEPS.min(self.limit - self.enqueued);
            forward.reserve(gpu, most_positions(steps - 1)).await?;
            return Ok(self.enqueue_steps(forward, steps, Vec::new()));
        };
        let tree_rows = rounds.tree_rows;
        let more = tree_rows.max(PAUSED_STEPS);
        let positions = most_positions(more) + MAX_ROWS;
        forward.reserve(gpu, positions).await?;
        let mut plan = rounds.next.clone();
        rounds.next = rounds.controller.plan();
        let most = plan.most_tokens();
        if plan.levels > 0 && !rounds.speculator.draft_reaches(most_positions(most)) {
            if !rounds.speculator.draft_reaches(self.n_prompt + (self.chosen.len() + most).min(self.limit)) {
                rounds.controller.lose_draft();
            }
            // What was looked up for this round is verified still.
            plan = RoundPlan { mode: RoundMode::Lookup, levels: 0, chain: true, ..plan };
        }
        if plan.mode == RoundMode::Plain {
            let steps = match rounds.next.mode {
                RoundMode::Plain if self.enqueued + 1 < self.limit => PAUSED_STEPS,
                _ => 1,
            };
            let mut plans = vec![plan];
            for _ in 1..steps {
                plans.push(std::mem::replace(&mut rounds.next, rounds.controller.plan()));
            }
            for _ in 0..steps {
                rounds.speculator.note_plain_step();
            }
            return Ok(self.enqueue_steps(forward, steps, plans));
        }
        if plan.levels > 0 {
            self.timeline.dispatches += rounds.sync_draft_cache(gpu, self.n_prompt, positions).await?;
        }
        rounds.speculator.set_plan(gpu, &plan, &rounds.next, tree_rows);
        let (encoder, dispatches) = gpu.encode_pass(|pass| {
            rounds.speculator.record(pass, forward, &plan, self.task.sampling, tree_rows, positions)
        });
        self.timeline.dispatches += dispatches;
        self.enqueued += 1;
        let most = plan.most_tokens();
        Ok(self.submit(forward, encoder, Kind::Round(Box::new(plan)), most))
    }

    /// Submits `steps` plain steps.
    fn enqueue_steps(&mut self, forward: &Forward, steps: usize, plans: Vec<RoundPlan>) -> InFlight {
        let tail = Tail::Sample(forward.sampler.choice(self.task.sampling));
        let most_positions = self.most_positions();
        let (encoder, ()) = self.gpu.encode_pass(|pass| {
            for step in 0..steps {
                // An upper bound of the position: what it decides does not change the bits.
                let base = most_positions(step) - 1;
                self.timeline.dispatches += forward.record(pass, 1, base, &tail);
                self.enqueued += 1;
            }
        });
        self.submit(forward, encoder, Kind::Steps(steps, plans), steps)
    }

    /// Positions of the text at most, once all that is under way and `more` tokens after it have been chosen, by `more`.
    fn most_positions(&self) -> impl Fn(usize) -> usize + use<> {
        let (n_prompt, most_chosen, limit) = (self.n_prompt, self.most_chosen, self.limit);
        move |more| n_prompt + (most_chosen + more).min(limit)
    }

    /// Submits `encoder`, which chooses at most `most` tokens, and the read of the state after it.
    fn submit(&mut self, forward: &Forward, encoder: wgpu::CommandEncoder, kind: Kind, most: usize) -> InFlight {
        self.most_chosen += most;
        let at = self.n_submitted % IN_FLIGHT;
        self.n_submitted += 1;
        self.staging[at].submit(self.gpu, encoder, forward.state(), 4 * HEAD_WORDS as u64);
        InFlight { kind, staging: at, most }
    }

    /// What a read brought.
    fn process_readback(&mut self, read: &InFlight, record: &Record<'_>, at_ms: f64) -> Result<Emission> {
        let known = self.chosen.len();
        let tokens = record.tokens(known);
        if let Some(nth) = tokens.iter().position(|&t| t == NO_TOKEN) {
            return Err(Error::NanLogits { position: self.n_prompt + known + nth });
        }
        let mut emission = Emission { tokens, at_ms, rounds: Vec::new() };
        let kind = &read.kind;
        let least = match kind {
            Kind::Steps(steps, _) => *steps,
            Kind::First | Kind::Round(_) => 1,
        };
        // What a submission gave beyond the least that was counted on.
        self.enqueued += emission.tokens.len().saturating_sub(least);
        self.most_chosen = self.most_chosen - read.most + emission.tokens.len();
        // Nothing was under way while the first token was read: the time of what follows it is not that of a round.
        let after_first = self.rounds.as_mut().filter(|_| !matches!(kind, Kind::First));
        let Some(rounds) = after_first else { return Ok(emission) };
        let elapsed_ms = rounds.last_read_ms.replace(at_ms).map(|last| at_ms - last);
        match kind {
            Kind::First => {}
            Kind::Steps(steps, plans) => {
                for (i, (&token, plan)) in emission.tokens.iter().zip(plans).enumerate() {
                    let position = self.n_prompt + known + i - 1;
                    let before = if i == 0 { self.chosen[known - 1] } else { emission.tokens[i - 1] };
                    let round = plain_round(rounds.count, position, before, token);
                    rounds.count += 1;
                    rounds.controller.observe(&round, plan, 0, elapsed_ms.map(|ms| ms / *steps as f64));
                    emission.rounds.push(round);
                }
            }
            Kind::Round(plan) => {
                rounds.draft_len = record.draft_len();
                let first = rounds.speculator.note_first(plan.mode);
                let elapsed_ms = elapsed_ms.filter(|_| !first);
                if let Some(round) = record.round(rounds.count, plan.mode, &emission.tokens) {
                    rounds.count += 1;
                    rounds.controller.observe(&round, plan, record.matched(), elapsed_ms);
                    emission.rounds.push(round);
                }
            }
        }
        Ok(emission)
    }
}

fn check_prompt(prompt: &[u32], context: usize, vocab_size: usize) -> Result<()> {
    if prompt.is_empty() {
        return Err(Error::EmptyPrompt);
    }
    if prompt.len() >= context {
        return Err(Error::PromptTooLong { prompt_tokens: prompt.len(), context });
    }
    match prompt.iter().find(|&&t| t as usize >= vocab_size) {
        Some(&token) => Err(Error::BadToken { token, vocab_size }),
        None => Ok(()),
    }
}
