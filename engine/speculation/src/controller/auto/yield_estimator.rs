//! What rounds give: running means over about the last 32 rounds in which there was something to see.

use understory_protocol::method::MATCHES;
use understory_protocol::{Round, RoundMode};

use super::{MAX_LEVELS, MIN_MATCH};
use crate::controller::RoundPlan;

const MEMORY: f64 = 32.0;
/// Rounds that a first guess weighs, or what was learnt before a pause.
const PRIOR_WEIGHT: f64 = 3.0;
/// Chance that a level of drafts holds the next token.
const PRIOR_DRAFT: f64 = 0.6;
const PRIOR_NODES_PER_LEVEL: f64 = 2.0;
/// Share of rounds with a looked-up chain, all but little of it after the shortest matches.
const PRIOR_MATCH: [(usize, f64); 2] = [(MIN_MATCH, 0.2), (MIN_MATCH + 1, 0.1)];

/// An exponential mean whose first values weigh as in a plain one.
#[derive(Clone, Copy, Debug)]
struct Mean {
    value: f64,
    weight: f64,
}

impl Mean {
    fn new(value: f64) -> Self {
        Self { value, weight: PRIOR_WEIGHT }
    }

    fn observe(&mut self, value: f64) {
        self.weight = (self.weight + 1.0).min(MEMORY);
        self.value += (value - self.value) / self.weight;
    }

    fn reopen(&mut self) {
        self.weight = self.weight.min(PRIOR_WEIGHT);
    }
}

#[derive(Debug)]
pub(super) struct YieldEstimator {
    /// entry d - 1: chance that depth d is accepted, given that depth d - 1 was; `None`: never at stake
    by_depth: [Option<Mean>; MAX_LEVELS],
    /// tokens accepted beyond the drafted levels (looked-up ones)
    beyond: Mean,
    nodes_per_level: Mean,
    /// share of rounds by length of their match, 0: none
    matches: [Mean; MATCHES + 1],
}

impl Default for YieldEstimator {
    fn default() -> Self {
        let mut matches = [Mean::new(0.0); MATCHES + 1];
        for (matched, share) in PRIOR_MATCH {
            matches[matched].value = share;
        }
        matches[0].value = 1.0 - PRIOR_MATCH.iter().map(|m| m.1).sum::<f64>();
        Self {
            by_depth: [None; MAX_LEVELS],
            beyond: Mean::new(0.0),
            nodes_per_level: Mean::new(PRIOR_NODES_PER_LEVEL),
            matches,
        }
    }
}

impl YieldEstimator {
    pub fn observe(&mut self, round: &Round, plan: &RoundPlan, matched: usize) {
        if plan.lookup.is_some() {
            self.observe_match(matched);
        }
        if plan.mode != RoundMode::Draft {
            return;
        }
        let accepted = round.path.len().saturating_sub(1);
        for depth in 1..=plan.levels.min(MAX_LEVELS).min(accepted + 1) {
            let prior = self.depth_chance(depth);
            let chance = self.by_depth[depth - 1].get_or_insert(Mean::new(prior));
            chance.observe(if accepted >= depth { 1.0 } else { 0.0 });
        }
        self.beyond.observe(accepted.saturating_sub(plan.levels) as f64);
        self.nodes_per_level.observe(round.nodes.len().saturating_sub(1) as f64 / plan.levels.max(1) as f64);
    }

    /// A round, run or imagined, that began with a match of so many tokens.
    pub fn observe_match(&mut self, matched: usize) {
        for (i, share) in self.matches.iter_mut().enumerate() {
            share.observe(if i == matched.min(MATCHES) { 1.0 } else { 0.0 });
        }
    }

    /// What is known of `mode` is old: what comes now weighs more.
    pub fn reopen(&mut self, mode: RoundMode) {
        if mode != RoundMode::Plain {
            self.matches.iter_mut().for_each(Mean::reopen);
        }
        if mode == RoundMode::Draft {
            self.by_depth.iter_mut().flatten().for_each(Mean::reopen);
            self.beyond.reopen();
            self.nodes_per_level.reopen();
        }
    }

    /// Tokens of a round with so many draft levels, the bonus token included.
    pub fn draft_tokens(&self, levels: usize) -> f64 {
        let mut reached = 1.0;
        let mut tokens = 1.0 + self.beyond.value;
        for depth in 1..=levels {
            reached *= self.depth_chance(depth);
            tokens += reached;
        }
        tokens
    }

    pub fn nodes_per_level(&self) -> f64 {
        self.nodes_per_level.value
    }

    /// Entry m: share of rounds after a match of m, 0 for none.
    pub fn match_shares(&self) -> [f64; MATCHES + 1] {
        self.matches.map(|m| m.value)
    }

    /// A depth that was never at stake is as good as the one above it.
    fn depth_chance(&self, depth: usize) -> f64 {
        self.by_depth[..depth].iter().rev().flatten().next().map_or(PRIOR_DRAFT, |m| m.value)
    }
}
