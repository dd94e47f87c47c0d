//! Passes of the target alone: the prompt, and steps of plain decoding.

use understory_protocol::{Result, Sampling};
use understory_speculation::controller::RoundPlan;

use super::Task;
use super::pipeline::{Pipeline, Work};
use crate::forward::{Forward, Tail};

/// Steps of one submission at least: a browser takes 0.5 to 2 ms (Chromium) or up to 100 ms (Firefox) to hand over a read, so
/// that several tokens share one there.
pub const STEPS: usize = if cfg!(target_family = "wasm") { 6 } else { 1 };
/// At most, where reads are late (`pace`).
pub const MOST_STEPS: usize = if cfg!(target_family = "wasm") { 24 } else { 1 };

/// Submits the prompt from position `base` on, in chunks; the last chunk chooses the first token. Returns that one's
/// dispatches.
pub fn submit_prompt(pipeline: &mut Pipeline<'_>, forward: &Forward, task: &Task<'_>, mut base: usize) -> usize {
    let (gpu, n_prompt) = (pipeline.gpu, task.prompt.len());
    loop {
        let read = n_prompt - task.n_decoded;
        let rows = match base < read {
            true => forward.next_chunk(base, read - base),
            false => forward.next_chunk(base, n_prompt - base).min(forward.few_rows(base)),
        };
        forward.set_rows(gpu, &task.prompt[base..base + rows], base);
        let last = base + rows == n_prompt;
        let tail = match last {
            true => Tail::Sample(&forward.sampler, task.sampling),
            false => Tail::Nothing,
        };
        let (encoder, dispatches) = gpu.encode_pass(|pass| forward.record(pass, rows, base, &tail));
        if last {
            pipeline.submit(encoder, forward.state(), Work::First, 1);
            return dispatches;
        }
        gpu.queue().submit([encoder.finish()]);
        base += rows;
    }
}

/// Submits the next `steps` steps of a text without speculation; returns the dispatches.
///
/// # Errors
/// [`understory_protocol::Error::OutOfDeviceMemory`].
pub async fn enqueue(
    pipeline: &mut Pipeline<'_>,
    forward: &mut Forward,
    sampling: &Sampling,
    steps: usize,
) -> Result<usize> {
    let steps = steps.min(pipeline.horizon.left());
    let horizon = pipeline.horizon;
    forward.reserve_ahead(pipeline.gpu, horizon.most_positions(steps - 1), horizon.end()).await?;
    Ok(submit_steps(pipeline, forward, sampling, steps, Vec::new()))
}

/// Submits `steps` steps, made by `plans`; returns the dispatches.
pub fn submit_steps(
    pipeline: &mut Pipeline<'_>,
    forward: &Forward,
    sampling: &Sampling,
    steps: usize,
    plans: Vec<RoundPlan>,
) -> usize {
    let tail = Tail::Sample(&forward.sampler, sampling);
    let horizon = pipeline.horizon;
    let (encoder, dispatches) = pipeline.gpu.encode_pass(|pass| {
        // An upper bound of the position: what it decides does not change the bits.
        (0..steps).map(|step| forward.record(pass, 1, horizon.most_positions(step) - 1, &tail)).sum()
    });
    pipeline.submit(encoder, forward.state(), Work::Steps(steps, plans), steps);
    dispatches
}
