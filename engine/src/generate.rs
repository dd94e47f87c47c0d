//! Plain autoregressive generation, resident on the device: a chosen token stays there, the next steps are
//! enqueued before it is read, and the host stops late: what ran beyond the end is dropped.

use std::collections::VecDeque;

use web_time::Instant;

use crate::error::{Error, Result};
use crate::forward::{Forward, Tail};
use crate::gpu::{Gpu, Staging};
use crate::kernels::{NO_TOKEN, RING};
use crate::sampling::Sampling;

/// Steps under way at once: one being read, the others running or waiting to run.
const IN_FLIGHT: usize = 3;
const DOING: &str = "generating";

/// What the loop is to do.
pub struct Task<'a> {
    pub prompt: &'a [u32],
    pub max_new_tokens: usize,
    pub sampling: &'a Sampling,
}

/// Times and counts of one run of the loop, in milliseconds from `start`.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub submitted_ms: f64,
    /// when each token was read
    pub read_ms: Vec<f64>,
    pub dispatches_per_token: usize,
    pub reused_tokens: usize,
}

/// Keeps the read-back buffers of a [`Forward`] between requests.
pub struct Decoder {
    staging: Vec<Staging>,
}

impl Decoder {
    pub async fn new(gpu: &Gpu) -> Result<Self> {
        let mut staging = Vec::with_capacity(IN_FLIGHT);
        for _ in 0..IN_FLIGHT {
            staging.push(Staging::new(gpu, 4).await?);
        }
        Ok(Self { staging })
    }

    /// Runs `task`, handing each token with its time to `on_token`; `false` from it ends the run.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::PromptTooLong`] before any work; [`Error::NanLogits`],
    /// [`Error::DeviceLost`], [`Error::OutOfDeviceMemory`].
    pub async fn run(
        &mut self,
        gpu: &Gpu,
        forward: &mut Forward,
        task: &Task<'_>,
        start: Instant,
        on_token: &mut dyn FnMut(u32, f64) -> Result<bool>,
    ) -> Result<Timeline> {
        let context = forward.config.max_position_embeddings;
        check_prompt(task.prompt, context, forward.config.vocab_size)?;
        let limit = task.max_new_tokens.min(context - task.prompt.len());
        forward.reserve(gpu, (task.prompt.len() + limit.min(128)).min(context)).await?;

        let now = || start.elapsed().as_secs_f64() * 1e3;
        let mut timeline = Timeline { submitted_ms: now(), ..Default::default() };
        forward.sampler.prepare(gpu, task.sampling, forward.config.vocab_size);
        forward.set_seen(gpu, task.prompt);
        timeline.reused_tokens = forward.cache.reusable(task.prompt);
        // Until the prompt is in, only the reused rows are known to be right.
        forward.cache.tokens.truncate(timeline.reused_tokens);

        let mut chosen = Vec::new();
        let mut times = Vec::new();
        let outcome = self
            .steps(gpu, forward, task, limit, &mut timeline, &mut |token| {
                let at_ms = now();
                chosen.push(token);
                times.push(at_ms);
                on_token(token, at_ms)
            })
            .await;
        timeline.read_ms = times;
        let drained = self.drain(gpu).await;
        if outcome.is_ok() {
            // The last token chosen has not been through the layers.
            forward.cache.tokens = task.prompt.to_vec();
            forward.cache.tokens.extend(&chosen[..chosen.len().saturating_sub(1)]);
        }
        outcome.and(drained).map(|()| timeline)
    }

    /// Prefill, then steps until `limit` tokens are chosen or `on_token` ends the run.
    async fn steps(
        &mut self,
        gpu: &Gpu,
        forward: &mut Forward,
        task: &Task<'_>,
        limit: usize,
        timeline: &mut Timeline,
        on_token: &mut dyn FnMut(u32) -> Result<bool>,
    ) -> Result<()> {
        let mut base = timeline.reused_tokens;
        while base < task.prompt.len() {
            let rows = forward.next_chunk(base, task.prompt.len() - base);
            forward.set_rows(gpu, &task.prompt[base..base + rows], base, 0);
            let read = (base + rows == task.prompt.len()).then_some(0);
            self.submit(gpu, forward, task, rows, base, read);
            base += rows;
        }
        let mut reads = VecDeque::from([0]);
        let mut enqueued = 1;
        while let Some(nth) = reads.pop_front() {
            // Keep the device busy before waiting for it.
            while enqueued < limit && reads.len() + 1 < IN_FLIGHT {
                forward.reserve(gpu, base + 1).await?;
                timeline.dispatches_per_token = self.submit(gpu, forward, task, 1, base, Some(enqueued));
                reads.push_back(enqueued);
                base += 1;
                enqueued += 1;
            }
            let staging = &mut self.staging[nth % IN_FLIGHT];
            let token = staging.finish(gpu, DOING, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).await?;
            if token == NO_TOKEN {
                return Err(Error::NanLogits { position: task.prompt.len() + nth });
            }
            if !on_token(token)? {
                break;
            }
        }
        Ok(())
    }

    /// Submits a pass; with `read`, one that chooses the read-th token and starts its read-back.
    fn submit(
        &mut self,
        gpu: &Gpu,
        forward: &Forward,
        task: &Task<'_>,
        rows: usize,
        base: usize,
        read: Option<usize>,
    ) -> usize {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let tail = match read {
            Some(_) => Tail::Sample(forward.sampler.choice(task.sampling)),
            None => Tail::Nothing,
        };
        let dispatches = forward.encode(&mut encoder, rows, base, &tail);
        if let Some(nth) = read {
            let offset = 4 * (nth as u64 % u64::from(RING));
            self.staging[nth % IN_FLIGHT].copy_from(&mut encoder, forward.ring(), offset, 4);
        }
        let submission = gpu.queue().submit([encoder.finish()]);
        if let Some(nth) = read {
            self.staging[nth % IN_FLIGHT].start(submission, 4);
        }
        dispatches
    }

    /// Waits for the reads of steps that nobody wants any more, so that their buffers can be used again.
    async fn drain(&mut self, gpu: &Gpu) -> Result<()> {
        for staging in &mut self.staging {
            if staging.is_pending() {
                staging.finish(gpu, DOING, |_| ()).await?;
            }
        }
        Ok(())
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
