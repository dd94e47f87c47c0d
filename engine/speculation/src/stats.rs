//! What speculation did in one request, counted round by round. Definitions: docs/numbers.md.

use understory_protocol::{DepthCount, GovernorDecision, Lossless, Method, Round, Speculation, formulas};

/// Counts of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    target_passes: usize,
    rounds: usize,
    drafted: usize,
    accepted: usize,
    nodes_verified: usize,
    by_depth: Vec<DepthCount>,
}

/// What [`Stats::finish`] needs to know beside the rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    pub method: Method,
    /// tokens of the text, the first one and an end token included
    pub tokens: usize,
    /// times that tokens were handed on
    pub emissions: usize,
    /// waits for the device
    pub host_syncs: usize,
    pub governor: Vec<GovernorDecision>,
    pub lossless: Option<Lossless>,
    pub synthetic_acceptance: Option<f32>,
}

impl Stats {
    /// Counts a pass of which the first `kept` emitted tokens became part of the text: fewer than all where it
    /// ran past an end, a stop text or the limit. Passes that lie wholly beyond the end do not belong here.
    pub fn observe(&mut self, round: &Round, kept: usize) {
        let nodes = round.nodes.len().saturating_sub(1);
        let accepted = round.path.len().saturating_sub(1).min(kept);
        self.target_passes += 1;
        self.rounds += usize::from(nodes > 0);
        self.drafted += nodes;
        self.accepted += accepted;
        self.nodes_verified += round.nodes.len();
        let deepest = round.nodes.iter().map(|n| n.depth).max().unwrap_or(0);
        if self.by_depth.len() < deepest {
            self.by_depth.resize(deepest, DepthCount::default());
        }
        for (i, count) in self.by_depth.iter_mut().enumerate() {
            count.offered += usize::from(i < deepest);
            count.accepted += usize::from(i < accepted);
            count.nodes += round.nodes.iter().filter(|n| n.depth == i + 1).count();
        }
    }

    pub fn finish(self, totals: Totals) -> Speculation {
        let Totals { method, tokens, emissions, host_syncs, governor, lossless, synthetic_acceptance } = totals;
        Speculation {
            method,
            target_passes: self.target_passes,
            rounds: self.rounds,
            drafted: self.drafted,
            accepted: self.accepted,
            acceptance_rate: formulas::acceptance_rate(self.accepted, self.drafted),
            acceptance_length: formulas::acceptance_length(self.accepted, self.rounds),
            tokens_per_target_pass: formulas::acceptance_length(self.accepted, self.target_passes),
            by_depth: self.by_depth,
            nodes_verified: self.nodes_verified,
            tokens_per_emission: formulas::tokens_per_emission(tokens, emissions),
            governor,
            host_syncs_per_token: if tokens == 0 { 0.0 } else { host_syncs as f64 / tokens as f64 },
            lossless,
            synthetic_acceptance,
        }
    }
}
