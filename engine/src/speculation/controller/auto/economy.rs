//! What a round costs, in milliseconds: by the table measured for this device, corrected by what rounds took.

use std::collections::VecDeque;

use super::{MAX_LEVELS, slot};
use crate::{
    protocol::{Costs, RoundMode},
    speculation::{
        prune::interpolate,
        tree::{MAX_NODES, MAX_ROWS},
    },
};

/// Rounds whose median corrects the cost of a mode, and the least number of them that does.
const WINDOW: usize = 9;
const ENOUGH: usize = 3;
/// The most rows of a draft level after the first, and how much dearer than one row they may be.
const MAX_FRONTIER: usize = 8;
const FRONTIER_PRICE: f64 = 1.3;
/// The longest looked-up chain, and the chance of one of its tokens for which its length is best.
const MAX_LOOKUP: usize = 32;
const GOOD_LOOKUP: f64 = 0.95;

/// Costs of one device. A mode's correction is a factor on all its rounds, so it matters between modes and not within
/// one: trees are sized by the table alone.
#[derive(Debug)]
pub(super) struct Economy {
    /// by rows
    verify_ms: Vec<f64>,
    /// by rows; empty: no draft
    draft_ms: Vec<f64>,
    plain_ms: f64,
    fixed_ms: f64,
    frontier: usize,
    lookup_tokens: usize,
    corrections: [Correction; 3],
}

/// Measured over predicted.
#[derive(Clone, Debug)]
struct Correction {
    recent: VecDeque<f64>,
    factor: f64,
}

impl Economy {
    /// A table without a positive cost of a plain step and of a verified row offers plain decoding only.
    pub fn new(has_draft: bool, costs: &Costs) -> Self {
        let table = |points: &[(usize, f64)]| (0..=MAX_ROWS).map(|rows| interpolate(points, rows)).collect::<Vec<_>>();
        let known = |ms: f64| ms.is_finite() && ms > 0.0;
        let usable = known(costs.plain_ms) && costs.verify_ms.iter().all(|c| known(c.1)) && !costs.verify_ms.is_empty();
        let drafts = usable && has_draft && !costs.draft_ms.is_empty() && costs.draft_ms.iter().all(|c| known(c.1));
        let mut economy = Self {
            verify_ms: if usable { table(&costs.verify_ms) } else { Vec::new() },
            draft_ms: if drafts { table(&costs.draft_ms) } else { Vec::new() },
            plain_ms: if known(costs.plain_ms) { costs.plain_ms } else { 1.0 },
            fixed_ms: costs.fixed_ms.max(0.0),
            frontier: 1,
            lookup_tokens: 0,
            corrections: std::array::from_fn(|_| Correction { recent: VecDeque::with_capacity(WINDOW), factor: 1.0 }),
        };
        if drafts {
            let affordable = |rows: &usize| economy.draft_ms[*rows] <= FRONTIER_PRICE * economy.draft_ms[1];
            economy.frontier = (1..=MAX_FRONTIER).rev().find(affordable).unwrap_or(1);
        }
        if usable {
            economy.lookup_tokens = economy.best_chain(GOOD_LOOKUP, MAX_LOOKUP).0.max(1);
        }
        economy
    }

    pub fn offers(&self, mode: RoundMode) -> bool {
        match mode {
            RoundMode::Plain => true,
            RoundMode::Lookup => !self.verify_ms.is_empty(),
            RoundMode::Draft => !self.draft_ms.is_empty(),
        }
    }

    pub fn plain_ms(&self) -> f64 {
        self.plain_ms
    }

    pub fn frontier(&self) -> usize {
        self.frontier
    }

    pub fn lookup_tokens(&self) -> usize {
        self.lookup_tokens
    }

    /// What a round costs before and beside verification.
    pub fn sunk_ms(&self, levels: usize) -> f64 {
        let level = |rows: usize| self.draft_ms.get(rows).copied().unwrap_or(0.0);
        let draft = if levels == 0 { 0.0 } else { level(1) + (levels - 1) as f64 * level(self.frontier) };
        self.fixed_ms + draft
    }

    /// The most drafted nodes that can ever pay: `levels` of them give at most `levels + 1` tokens, which plain
    /// decoding gives for as many steps.
    pub fn draft_nodes(&self, levels: usize) -> usize {
        let worth_ms = (levels + 1) as f64 * self.plain_ms - self.sunk_ms(levels);
        // The path itself stays possible where the table says that nothing pays, or a probe would teach nothing.
        (levels..=MAX_NODES).rev().find(|n| self.verify_ms[n + 1] <= worth_ms).unwrap_or(levels)
    }

    /// The length up to `most` at which a chain of tokens of equal `chance` gives most per millisecond, and the
    /// tokens of such a round.
    pub fn best_chain(&self, chance: f64, most: usize) -> (usize, f64) {
        let (mut tokens, mut power) = (1.0, 1.0);
        let mut best = (0, 1.0, 1.0 / (self.sunk_ms(0) + self.verify_ms[1]));
        for n in 1..=most.min(MAX_NODES) {
            power *= chance;
            tokens += power;
            let rate = tokens / (self.sunk_ms(0) + self.verify_ms[n + 1]);
            if rate > best.2 {
                best = (n, tokens, rate);
            }
        }
        (best.0, best.1)
    }

    /// By the table. `rows` may be a mean.
    pub fn round_ms(&self, mode: RoundMode, rows: f64, levels: usize) -> f64 {
        if mode == RoundMode::Plain {
            return self.plain_ms;
        }
        let rows = rows.clamp(1.0, MAX_ROWS as f64);
        let (low, high) = (rows.floor() as usize, rows.ceil() as usize);
        let verify = |rows: usize| self.verify_ms.get(rows).copied().unwrap_or(self.plain_ms);
        let part = rows - low as f64;
        self.sunk_ms(levels.min(MAX_LEVELS)) + (1.0 - part) * verify(low) + part * verify(high)
    }

    /// Tokens per millisecond, corrected.
    pub fn rate(&self, mode: RoundMode, tokens: f64, table_ms: f64) -> f64 {
        tokens / (table_ms * self.corrections[slot(mode)].factor)
    }

    /// Takes in a round's time and returns it, or what was expected of it where it is not known.
    pub fn observe(&mut self, mode: RoundMode, rows: usize, levels: usize, elapsed_ms: Option<f64>) -> f64 {
        let table_ms = self.round_ms(mode, rows as f64, levels);
        let correction = &mut self.corrections[slot(mode)];
        let Some(elapsed_ms) = elapsed_ms.filter(|ms| ms.is_finite() && *ms > 0.0) else {
            return table_ms * correction.factor;
        };
        if correction.recent.len() == WINDOW {
            correction.recent.pop_front();
        }
        correction.recent.push_back(elapsed_ms / table_ms);
        if correction.recent.len() >= ENOUGH {
            let mut sorted: Vec<f64> = correction.recent.iter().copied().collect();
            sorted.sort_by(f64::total_cmp);
            correction.factor = sorted[sorted.len() / 2];
        }
        elapsed_ms
    }

    /// Forgets the times of a mode that has not run for a while; its factor stays until there are new ones.
    pub fn reopen(&mut self, mode: RoundMode) {
        self.corrections[slot(mode)].recent.clear();
    }
}
