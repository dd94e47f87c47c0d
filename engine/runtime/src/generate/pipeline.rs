//! Submissions under way: the ring of read-back buffers, the queue of what has not been read, and how long the text is
//! at least and at most once all of it has been.

use std::collections::VecDeque;

use understory_protocol::Result;
use understory_speculation::controller::RoundPlan;
use web_time::Instant;

use super::DOING;
use crate::gpu::{Gpu, Staging};
use crate::kernels::state::HEAD_WORDS;

/// Submissions under way at once: one being read, the others running or waiting to run.
pub const IN_FLIGHT: usize = 3;

/// What a submission holds.
pub enum Work {
    /// the end of the prompt, which gives the first token
    First,
    /// plain steps; with speculation the plans that they were made by, one a step
    Steps(usize, Vec<RoundPlan>),
    Round(Box<RoundPlan>),
}

impl Work {
    /// Tokens that it chooses at least, unless the text ends before.
    fn least_tokens(&self) -> usize {
        match self {
            Self::Steps(steps, _) => *steps,
            Self::First | Self::Round(_) => 1,
        }
    }
}

/// A submission that has not been read.
pub struct InFlight {
    pub work: Work,
    /// its buffer in the ring
    slot: usize,
    /// tokens that it chooses at most
    most: usize,
    pub submitted: Instant,
}

impl InFlight {
    /// Whether it chooses the first token.
    pub fn is_first(&self) -> bool {
        matches!(self.work, Work::First)
    }
}

/// How many tokens there are once everything under way has been read, and the positions that they need.
#[derive(Clone, Copy)]
pub struct Horizon {
    pub n_prompt: usize,
    /// tokens to generate at most
    pub limit: usize,
    /// tokens read and those under way, at least
    least: usize,
    /// tokens read and those under way, at most, were there no limit
    most: usize,
}

impl Horizon {
    pub fn new(n_prompt: usize, limit: usize) -> Self {
        Self { n_prompt, limit, least: 0, most: 0 }
    }

    /// Tokens that are still to be enqueued, if what is under way gives the fewest.
    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.least)
    }

    /// Positions of the whole text.
    pub fn end(&self) -> usize {
        self.n_prompt + self.limit
    }

    /// Positions of the text at most, once all that is under way and `more` tokens after it have been chosen.
    pub fn most_positions(&self, more: usize) -> usize {
        self.n_prompt + (self.most + more).min(self.limit)
    }
}

/// The submissions of one run.
pub struct Pipeline<'a> {
    pub gpu: &'a Gpu,
    pub horizon: Horizon,
    staging: &'a mut [Staging],
    queue: VecDeque<InFlight>,
    n_submitted: usize,
}

impl<'a> Pipeline<'a> {
    /// `staging`: [`IN_FLIGHT`] buffers of [`HEAD_WORDS`] words, none of them being read.
    pub fn new(gpu: &'a Gpu, staging: &'a mut [Staging], horizon: Horizon) -> Self {
        Self { gpu, horizon, staging, queue: VecDeque::with_capacity(IN_FLIGHT), n_submitted: 0 }
    }

    /// Submits `encoder`, which chooses at most `most` tokens, and the read of `state` after it.
    pub fn submit(&mut self, encoder: wgpu::CommandEncoder, state: &wgpu::Buffer, work: Work, most: usize) {
        self.horizon.least += work.least_tokens();
        self.horizon.most += most;
        let slot = self.n_submitted % IN_FLIGHT;
        self.n_submitted += 1;
        self.staging[slot].submit(self.gpu, encoder, state, 4 * HEAD_WORDS as u64);
        self.queue.push_back(InFlight { work, slot, most, submitted: Instant::now() });
    }

    /// The oldest submission, which is to be read next.
    pub fn pop(&mut self) -> Option<InFlight> {
        self.queue.pop_front()
    }

    /// Whether another submission is to be made before `next` is read.
    ///
    /// The device is to be kept busy; but nothing comes before the first token. What is there already is read first:
    /// plans follow from it, and some drivers hold up a submission until the one before it has ended, so that news and
    /// the time of their arrival would be a round old.
    pub fn wants_more(&mut self, next: &InFlight) -> bool {
        !next.is_first()
            && self.horizon.left() > 0
            && self.queue.len() + 1 < IN_FLIGHT
            && (self.queue.is_empty() || !self.staging[next.slot].is_ready(self.gpu))
    }

    /// Waits for the state after `submission`.
    ///
    /// # Errors
    /// [`understory_protocol::Error::DeviceLost`], [`understory_protocol::Error::Device`].
    pub async fn read(&mut self, submission: &InFlight) -> Result<Vec<u32>> {
        self.staging[submission.slot].finish(self.gpu, DOING, bytemuck::pod_collect_to_vec::<u8, u32>).await
    }

    /// Notes that `submission` chose `tokens` tokens.
    pub fn settle(&mut self, submission: &InFlight, tokens: usize) {
        // What it gave beyond the least that was counted on.
        self.horizon.least += tokens.saturating_sub(submission.work.least_tokens());
        self.horizon.most = self.horizon.most - submission.most + tokens;
    }

    /// Ends the run: nobody wants the reads that are under way any more, but their buffers.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub async fn drain(self) -> Result<()> {
        Staging::drain(self.staging, self.gpu, DOING).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail here: positions that go beyond the limit.
    #[test]
    fn positions_are_bounded_by_the_limit() {
        let horizon = Horizon { n_prompt: 5, limit: 10, least: 3, most: 8 };
        assert_eq!((horizon.most_positions(0), horizon.most_positions(2), horizon.most_positions(9)), (13, 15, 15));
        assert_eq!(horizon.left(), 7);
        assert_eq!(Horizon { least: 12, ..horizon }.left(), 0, "a round may choose more than it was counted for");
    }
}
