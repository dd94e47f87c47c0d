//! The heuristic schedule of `transformers`' assisted generation: a chain that grows by two after a round that accepted
//! all of it and shrinks by one after any other.
//!
//! There every round follows from the one before it. Here rounds are planned ahead of their results, so a change takes
//! effect a few rounds later.

use understory_protocol::Round;
use understory_protocol::method::MAX_NODES;

use super::RoundPlan;

#[derive(Debug)]
pub(super) struct Assisted {
    k: usize,
}

impl Assisted {
    pub fn new(start: usize) -> Self {
        Self { k: start.clamp(1, MAX_NODES) }
    }

    pub fn plan(&self) -> RoundPlan {
        super::fixed::linear(self.k)
    }

    pub fn observe(&mut self, round: &Round) {
        self.k = match round.path.len() {
            // A round that had nothing to accept says nothing.
            _ if round.nodes.len() < 2 => self.k,
            accepted if accepted == round.nodes.len() => (self.k + 2).min(MAX_NODES),
            _ => (self.k - 1).max(1),
        };
    }
}
