//! Generation, resident on the device: a chosen token stays there, the next steps or rounds are enqueued before it is
//! read, and the host stops late: what ran beyond the end is dropped.
//!
//! Plain decoding and every method of speculation are the same loop; they differ in what a submission holds ([`plain`],
//! [`speculative`]). [`pipeline`] keeps the submissions under way. A text that is to be speculated on before that can be
//! is decoded plainly, and learning goes on in between ([`waiting`]).

mod pace;
mod pipeline;
mod plain;
mod speculative;
mod waiting;

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Error, Result, Round, Sampling, Speculation};
use web_time::Instant;

use self::pace::StepSize;
use self::pipeline::{Horizon, IN_FLIGHT, InFlight, Pipeline, Work};
use self::speculative::{Guessed, ReadTokens, SpeculationState};
use self::waiting::Waiting;
use crate::forward::Forward;
use crate::gpu::{Gpu, Staging};
use crate::kernels::state::{HEAD_WORDS, NO_TOKEN};
use crate::speculative::record::Record;

pub use self::speculative::SpeculativeTask;
pub use self::waiting::LONGEST_MS;

const DOING: &str = "generating";

/// What the loop is to do.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    pub prompt: &'a [u32],
    /// tokens at the prompt's end that were decoded before: their rows are computed as decoding does
    pub n_decoded: usize,
    pub max_new_tokens: usize,
    pub sampling: &'a Sampling,
}

/// Tokens that came with one read.
#[derive(Clone, Debug)]
pub struct Emission {
    pub tokens: Vec<u32>,
    pub at_ms: f64,
    /// the rounds they came from, oldest first; none for the first token and for plain decoding
    pub rounds: Vec<Round>,
}

/// How many of an emission's tokens became part of the text, and whether more are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub kept: usize,
    pub more: bool,
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

impl Timeline {
    /// Adds what `next`, the text's next part, took.
    fn extend(&mut self, next: Timeline) {
        self.read_ms.extend(next.read_ms);
        self.dispatches += next.dispatches;
        self.host_syncs += next.host_syncs;
        self.emissions += next.emissions;
        self.speculation = next.speculation;
    }
}

/// What is decided by guesses in one run.
enum Guessing<'a> {
    /// nothing
    Never,
    /// nothing yet
    NotYet(&'a mut Waiting),
    Rounds(Box<SpeculationState<'a>>),
}

/// One run of the loop, at its end.
struct Ran {
    timeline: Timeline,
    /// tokens that are part of the text
    chosen: Vec<u32>,
    /// whether more are wanted
    more: bool,
    guessed: Option<Guessed>,
}

/// Keeps the read-back buffers of a [`Forward`] between requests, and how many steps share a read.
pub struct Decoder {
    staging: Vec<Staging>,
    step_size: StepSize,
}

impl Decoder {
    /// # Errors
    /// [`Error::OutOfDeviceMemory`], [`Error::DeviceLost`].
    pub async fn new(gpu: &Gpu) -> Result<Self> {
        let mut staging = Vec::with_capacity(IN_FLIGHT);
        for _ in 0..IN_FLIGHT {
            staging.push(Staging::new(gpu, 4 * HEAD_WORDS as u64).await?);
        }
        Ok(Self { staging, step_size: StepSize::new(plain::STEPS, plain::MOST_STEPS) })
    }

    /// Runs `task`, decoding plainly where there is no `speculation`, and hands over each emission; from it comes how
    /// many of its tokens are wanted, fewer than all end the run.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::PromptTooLong`], [`Error::BadToken`] before any work; [`Error::NanLogits`],
    /// [`Error::DeviceLost`], [`Error::OutOfDeviceMemory`].
    pub async fn run(
        &mut self,
        gpu: &Gpu,
        forward: &mut Forward,
        task: &Task<'_>,
        speculation: Option<SpeculativeTask<'_>>,
        start: Instant,
        on_emission: &mut dyn FnMut(&Emission) -> Result<Consumed>,
    ) -> Result<Timeline> {
        check_prompt(task.prompt, forward.config.max_position_embeddings, forward.config.vocab_size)?;
        match speculation {
            None => Ok(self.part(gpu, forward, task, Guessing::Never, start, on_emission).await?.timeline),
            Some(how) => self.speculate(gpu, forward, task, how, start, on_emission).await,
        }
    }

    /// Runs `task` to its end, whose prompt is one.
    async fn part(
        &mut self,
        gpu: &Gpu,
        forward: &mut Forward,
        task: &Task<'_>,
        guessing: Guessing<'_>,
        start: Instant,
        on_emission: &mut dyn FnMut(&Emission) -> Result<Consumed>,
    ) -> Result<Ran> {
        let context = forward.config.max_position_embeddings;
        let horizon = Horizon::new(task.prompt.len(), task.max_new_tokens.min(context - task.prompt.len()));
        let now = || start.elapsed().as_secs_f64() * 1e3;
        self.step_size.begin();
        let mut run = Run {
            task,
            step_size: &mut self.step_size,
            pipeline: Pipeline::new(gpu, &mut self.staging, horizon),
            chosen: Vec::new(),
            timeline: Timeline { submitted_ms: now(), ..Default::default() },
            guessing,
        };
        let outcome = match run.prepare(forward).await {
            Ok(()) => run.steps(forward, &now, on_emission).await,
            Err(e) => Err(e),
        };
        let Run { chosen, timeline, guessing, pipeline, .. } = run;
        let drained = pipeline.drain().await;
        let fine = outcome.is_ok() && drained.is_ok();
        let guessed = match guessing {
            Guessing::Rounds(state) => Some(state.finish(task, &chosen, fine)),
            Guessing::Never | Guessing::NotYet(_) => None,
        };
        if fine {
            // The last token chosen has not been through the layers.
            let decoded = &chosen[..chosen.len().saturating_sub(1)];
            forward.cache.commit(task.prompt.iter().chain(decoded).copied());
        }
        if let (Ok(_), Err(error)) = (&outcome, &drained) {
            // The text is whole: what became of the device is for the next request to find.
            tracing::warn!("after the last token: {error}");
            forward.cache.invalidate();
        }
        outcome.map(|more| Ran { timeline, chosen, more, guessed })
    }
}

/// One run of the loop.
struct Run<'a> {
    task: &'a Task<'a>,
    step_size: &'a mut StepSize,
    pipeline: Pipeline<'a>,
    /// tokens that are part of the text
    chosen: Vec<u32>,
    timeline: Timeline,
    guessing: Guessing<'a>,
}

impl Run<'_> {
    async fn prepare(&mut self, forward: &mut Forward) -> Result<()> {
        let (gpu, horizon, task) = (self.pipeline.gpu, self.pipeline.horizon, self.task);
        forward.reserve(gpu, self.first_positions(forward)).await?;
        forward.sampler.prepare(gpu, task.sampling);
        let reused = forward.cache.reusable(task.prompt);
        self.timeline.reused_tokens = reused;
        // Until the prompt is in, only the reused rows are known to be right.
        forward.cache.truncate(reused);
        let draft_cached = match &mut self.guessing {
            Guessing::Rounds(state) => state.begin(gpu, task),
            Guessing::Never | Guessing::NotYet(_) => 0,
        };
        forward.begin(gpu, task.prompt, horizon.n_prompt + horizon.limit, draft_cached);
        Ok(())
    }

    /// Positions that the caches are to hold at first: those of the prompt and of up to 128 tokens and, with
    /// speculation, the slots of a tree.
    fn first_positions(&self, forward: &Forward) -> usize {
        let Horizon { n_prompt, limit, .. } = self.pipeline.horizon;
        let tokens = n_prompt + limit.min(128);
        match self.guessing {
            Guessing::Rounds(_) => tokens + MAX_ROWS,
            Guessing::Never | Guessing::NotYet(_) => tokens.min(forward.config.max_position_embeddings),
        }
    }

    /// Prefill, then submissions until the limit of tokens is reached or `on_emission` ends the run; whether it wants
    /// more.
    async fn steps(
        &mut self,
        forward: &mut Forward,
        now: &dyn Fn() -> f64,
        on_emission: &mut dyn FnMut(&Emission) -> Result<Consumed>,
    ) -> Result<bool> {
        let dispatches = plain::submit_prompt(&mut self.pipeline, forward, self.task, self.timeline.reused_tokens);
        // In the middle of a text the end of the prompt is a step.
        let goes_on = match &self.guessing {
            Guessing::Never => false,
            Guessing::NotYet(waiting) => waiting.begun(),
            Guessing::Rounds(state) => state.goes_on(),
        };
        if goes_on {
            self.timeline.dispatches += dispatches;
        }
        while let Some(next) = self.pipeline.pop() {
            while self.pipeline.wants_more(&next) {
                self.enqueue(forward).await?;
            }
            let words = self.pipeline.read(&next).await?;
            self.timeline.host_syncs += 1;
            let emission = self.process_readback(&next, &Record(&words), now())?;
            if emission.tokens.is_empty() {
                continue;
            }
            let consumed = on_emission(&emission)?;
            self.chosen.extend(&emission.tokens[..consumed.kept]);
            self.timeline.read_ms.extend(std::iter::repeat_n(emission.at_ms, consumed.kept));
            self.timeline.emissions += 1;
            match &mut self.guessing {
                Guessing::Never => {}
                Guessing::NotYet(waiting) => waiting.count(&emission.rounds, consumed.kept),
                Guessing::Rounds(state) => state.count(&emission.rounds, consumed.kept),
            }
            if !consumed.more {
                return Ok(false);
            }
            if next.is_first() && self.pipeline.horizon.limit > 1 {
                self.enqueue(forward).await?;
            }
        }
        Ok(true)
    }

    /// Submits the next steps or the next round.
    async fn enqueue(&mut self, forward: &mut Forward) -> Result<()> {
        let (pipeline, task) = (&mut self.pipeline, self.task);
        self.timeline.dispatches += match &mut self.guessing {
            Guessing::Never | Guessing::NotYet(_) => {
                plain::enqueue(pipeline, forward, task.sampling, self.step_size.steps()).await?
            }
            Guessing::Rounds(state) => state.enqueue(pipeline, forward, task, self.chosen.len()).await?,
        };
        Ok(())
    }

    /// What a read brought.
    fn process_readback(&mut self, read: &InFlight, record: &Record<'_>, at_ms: f64) -> Result<Emission> {
        let known = self.chosen.len();
        let n_prompt = self.task.prompt.len();
        let tokens = record.tokens(known);
        if let Some(nth) = tokens.iter().position(|&t| t == NO_TOKEN) {
            return Err(Error::NanLogits { position: n_prompt + known + nth });
        }
        self.pipeline.settle(read, tokens.len());
        if let Work::Steps(steps, _) = read.work {
            self.step_size.read(steps, tokens.len(), at_ms, read.submitted.elapsed().as_secs_f64() * 1e3);
        }
        let rounds = match &mut self.guessing {
            Guessing::Never => Vec::new(),
            Guessing::NotYet(waiting) => waiting.rounds(self.task.prompt, &self.chosen, &tokens),
            Guessing::Rounds(state) => {
                let read_tokens = ReadTokens { prompt: self.task.prompt, chosen: &self.chosen, tokens: &tokens, at_ms };
                state.observe(&read.work, record, &read_tokens)
            }
        };
        Ok(Emission { tokens, at_ms, rounds })
    }
}

/// # Errors
/// [`Error::EmptyPrompt`], [`Error::PromptTooLong`], [`Error::BadToken`].
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
