//! What a round costs, in milliseconds: by the table measured for this device, corrected by what rounds took.

use std::collections::VecDeque;

use understory_protocol::method::{MAX_NODES, MAX_ROWS};
use understory_protocol::{Costs, RoundMode};

use super::{MAX_LEVELS, slot};
use crate::prune::{VerifyMs, interpolate};

/// Rounds whose median corrects a cost, and the least number of them that does.
const WINDOW: usize = 9;
const ENOUGH: usize = 3;
/// A round that seems to have taken less than this share of what is expected was read together with the last one, which
/// has its time.
const AT_ONCE: f64 = 0.25;
/// Sizes of trees that are corrected apart: of up to 1, 2, 4, ... 64 rows.
const SIZES: usize = 7;
/// The most rows of a draft level after the first, and how much dearer than one row they may be.
const MAX_FRONTIER: usize = 8;
const FRONTIER_PRICE: f64 = 1.3;
/// Rows of the draft level whose cost tells what catching up costs: the most that are measured.
const WIDE_LEVEL: usize = 16;
/// The longest looked-up chain, and the chance of one of its tokens for which its length is best.
const MAX_LOOKUP: usize = 32;
const GOOD_LOOKUP: f64 = 0.95;

/// Costs of one device: the table's, times what rounds of that mode and size took over what the table said. Texts are
/// longer than the context that the table was measured with, and devices are not alone.
#[derive(Debug)]
pub(super) struct CostModel {
    /// by rows
    verify_ms: Vec<f64>,
    /// by rows; empty: no draft
    draft_ms: Vec<f64>,
    plain_ms: f64,
    fixed_ms: f64,
    frontier: usize,
    lookup_tokens: usize,
    corrections: [[Correction; SIZES]; 3],
    last: Option<Timed>,
}

/// A round's time, or that of rounds whose results came together.
#[derive(Debug)]
struct Timed {
    /// the (last) round's entry of [`CostModel::corrections`]
    of: (usize, usize),
    elapsed_ms: f64,
    table_ms: f64,
}

impl Timed {
    fn ratio(&self) -> f64 {
        self.elapsed_ms / self.table_ms
    }
}

/// Measured over predicted.
#[derive(Clone, Debug, Default)]
struct Correction {
    recent: VecDeque<f64>,
    factor: Option<f64>,
}

impl Correction {
    fn observe(&mut self, ratio: f64) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(ratio);
        if self.recent.len() >= ENOUGH {
            let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
            sorted.sort_by(f64::total_cmp);
            self.factor = Some(sorted[sorted.len() / 2]);
        }
    }
}

impl CostModel {
    /// A table without a positive cost of a plain step and of a verified row offers plain decoding only.
    pub fn new(has_draft: bool, costs: &Costs) -> Self {
        let table = |points: &[(usize, f64)]| (0..=MAX_ROWS).map(|rows| interpolate(points, rows)).collect::<Vec<_>>();
        let known = |ms: f64| ms.is_finite() && ms > 0.0;
        let usable = known(costs.plain_ms) && costs.verify_ms.iter().all(|c| known(c.1)) && !costs.verify_ms.is_empty();
        let drafts = usable && has_draft && !costs.draft_ms.is_empty() && costs.draft_ms.iter().all(|c| known(c.1));
        let mut cost_model = Self {
            verify_ms: if usable { table(&costs.verify_ms) } else { Vec::new() },
            draft_ms: if drafts { table(&costs.draft_ms) } else { Vec::new() },
            plain_ms: if known(costs.plain_ms) { costs.plain_ms } else { 1.0 },
            fixed_ms: costs.fixed_ms.max(0.0),
            frontier: 1,
            lookup_tokens: 0,
            corrections: Default::default(),
            last: None,
        };
        if drafts {
            let affordable = |rows: &usize| cost_model.draft_ms[*rows] <= FRONTIER_PRICE * cost_model.draft_ms[1];
            cost_model.frontier = (1..=MAX_FRONTIER).rev().find(affordable).unwrap_or(1);
        }
        if usable {
            cost_model.lookup_tokens =
                cost_model.best_chain(&cost_model.verify_ms(RoundMode::Lookup), GOOD_LOOKUP, MAX_LOOKUP).0.max(1);
        }
        cost_model
    }

    /// Offers no drafting any more.
    pub fn lose_draft(&mut self) {
        self.draft_ms.clear();
    }

    pub fn offers(&self, mode: RoundMode) -> bool {
        match mode {
            RoundMode::Plain => true,
            RoundMode::Lookup => !self.verify_ms.is_empty(),
            RoundMode::Draft => !self.draft_ms.is_empty(),
        }
    }

    pub fn frontier(&self) -> usize {
        self.frontier
    }

    pub fn lookup_tokens(&self) -> usize {
        self.lookup_tokens
    }

    /// What a round costs before and beside verification, by the table.
    fn table_sunk_ms(&self, levels: usize) -> f64 {
        let level = |rows: usize| self.draft_ms.get(rows).copied().unwrap_or(0.0);
        let draft = if levels == 0 { 0.0 } else { level(1) + (levels - 1) as f64 * level(self.frontier) };
        self.fixed_ms + draft
    }

    /// What a round costs before and beside verification.
    pub fn sunk_ms(&self, mode: RoundMode, levels: usize) -> f64 {
        self.table_sunk_ms(levels) * self.factor(mode, 1.0)
    }

    /// What verification costs in rounds of `mode`.
    pub fn verify_ms(&self, mode: RoundMode) -> VerifyMs {
        let mut table: VerifyMs = std::array::from_fn(|rows| {
            let known = self.verify_ms.get(rows).copied().unwrap_or(self.plain_ms);
            (known * self.factor(mode, rows as f64)) as f32
        });
        // Fewer rows never cost more, whatever few rounds of them seemed to say.
        for rows in (1..MAX_ROWS).rev() {
            table[rows] = table[rows].min(table[rows + 1]);
        }
        table
    }

    /// What it costs to show the draft `tokens` tokens that it has not seen.
    pub fn catch_up_ms(&self, tokens: usize) -> f64 {
        let block = self.draft_ms.get(WIDE_LEVEL).copied().unwrap_or(0.0);
        tokens as f64 / WIDE_LEVEL as f64 * block * self.factor(RoundMode::Plain, 1.0)
    }

    /// The most drafted nodes that can ever pay: `levels` of them give at most `levels + 1` tokens, which plain
    /// decoding gives for as many steps.
    pub fn draft_nodes(&self, levels: usize) -> usize {
        let worth_ms = (levels + 1) as f64 * self.plain_ms() - self.sunk_ms(RoundMode::Draft, levels);
        let verify_ms = self.verify_ms(RoundMode::Draft);
        // The path itself stays possible where nothing seems to pay, or a probe would teach nothing.
        (levels..=MAX_NODES).rev().find(|n| f64::from(verify_ms[n + 1]) <= worth_ms).unwrap_or(levels)
    }

    /// The length up to `most` at which a looked-up chain of tokens of equal `chance` gives most per millisecond, and
    /// the tokens of such a round. `verify_ms`: [`Self::verify_ms`] of lookup.
    pub fn best_chain(&self, verify_ms: &VerifyMs, chance: f64, most: usize) -> (usize, f64) {
        let sunk_ms = self.sunk_ms(RoundMode::Lookup, 0);
        let (mut tokens, mut power) = (1.0, 1.0);
        let mut best = (0, 1.0, 1.0 / (sunk_ms + f64::from(verify_ms[1])));
        for n in 1..=most.min(MAX_NODES) {
            power *= chance;
            tokens += power;
            let rate = tokens / (sunk_ms + f64::from(verify_ms[n + 1]));
            if rate > best.2 {
                best = (n, tokens, rate);
            }
        }
        (best.0, best.1)
    }

    /// `told` by what rounds took: a plain step and verification, halfway from what was told to the median of what was seen
    /// (for sizes that did not run, between those of the next smaller and the next larger one that did). `None`: nothing was
    /// seen. Drafting has no times of its own, and stays as it was.
    pub fn refined(&self, told: &Costs) -> Option<Costs> {
        let plain = self.corrections[slot(RoundMode::Plain)][0].factor;
        // Lookup's rounds are verification and little else.
        let of_sizes = self.corrections[slot(RoundMode::Lookup)].iter().enumerate();
        let seen: Vec<(usize, f64)> = of_sizes.filter_map(|(size, of)| Some((size, of.factor?))).collect();
        if plain.is_none() && seen.is_empty() {
            return None;
        }
        let of_size = |size: usize| {
            let smaller = seen.iter().rev().find(|of| of.0 <= size);
            match (smaller, seen.iter().find(|of| of.0 >= size)) {
                (Some(&(a, low)), Some(&(b, high))) if a < b => low + (high - low) * (size - a) as f64 / (b - a) as f64,
                // What disturbs plain steps disturbs passes of every size.
                (near, other) => near.or(other).map_or(plain.unwrap_or(1.0), |of| of.1),
            }
        };
        let halfway = |ms: f64, factor: f64| ms * (1.0 + (factor.clamp(0.25, 4.0) - 1.0) / 2.0);
        let mut costs = told.clone();
        costs.plain_ms = halfway(told.plain_ms, plain.unwrap_or(1.0));
        for (rows, ms) in &mut costs.verify_ms {
            *ms = halfway(*ms, of_size(size(*rows as f64)));
        }
        let mut least = 0.0;
        for (_, ms) in &mut costs.verify_ms {
            *ms = ms.max(least);
            least = *ms;
        }
        Some(costs)
    }

    pub fn plain_ms(&self) -> f64 {
        self.round_ms(RoundMode::Plain, 1.0, 0)
    }

    /// `rows` may be a mean.
    pub fn round_ms(&self, mode: RoundMode, rows: f64, levels: usize) -> f64 {
        self.table_ms(mode, rows, levels) * self.factor(mode, rows)
    }

    fn table_ms(&self, mode: RoundMode, rows: f64, levels: usize) -> f64 {
        if mode == RoundMode::Plain {
            return self.plain_ms;
        }
        let rows = rows.clamp(1.0, MAX_ROWS as f64);
        let (low, high) = (rows.floor() as usize, rows.ceil() as usize);
        let verify = |rows: usize| self.verify_ms.get(rows).copied().unwrap_or(self.plain_ms);
        let part = rows - low as f64;
        self.table_sunk_ms(levels.min(MAX_LEVELS)) + (1.0 - part) * verify(low) + part * verify(high)
    }

    /// The correction of rounds of `mode` with `rows` rows: their own, else that of the nearest smaller ones, else of
    /// larger ones, else that of plain steps, which the same company disturbs.
    fn factor(&self, mode: RoundMode, rows: f64) -> f64 {
        let sizes = &self.corrections[slot(mode)];
        let (smaller, larger) = sizes.split_at(size(rows) + 1);
        let own = smaller.iter().rev().chain(larger).find_map(|c| c.factor);
        own.or(self.corrections[slot(RoundMode::Plain)][0].factor).unwrap_or(1.0)
    }

    /// Takes in a round's time and returns it, or what was expected of it where it is not known.
    pub fn observe(&mut self, mode: RoundMode, rows: usize, levels: usize, elapsed_ms: Option<f64>) -> f64 {
        let rows = rows as f64;
        let expected_ms = self.round_ms(mode, rows, levels);
        let Some(elapsed_ms) = elapsed_ms.filter(|ms| ms.is_finite() && *ms >= 0.0) else {
            self.last = None;
            return expected_ms;
        };
        let of = (slot(mode), size(rows));
        let table_ms = self.table_ms(mode, rows, levels);
        let at_once = elapsed_ms < AT_ONCE * table_ms.min(expected_ms);
        self.last = match self.last.take() {
            _ if !at_once => Some(Timed { of, elapsed_ms, table_ms }),
            Some(last) => {
                // Both took their share of the time that both had.
                let both = Timed { of, elapsed_ms: last.elapsed_ms + elapsed_ms, table_ms: last.table_ms + table_ms };
                let correction = &mut self.corrections[last.of.0][last.of.1];
                correction.recent.pop_back();
                correction.observe(both.ratio());
                Some(both)
            }
            None => None,
        };
        if let Some(last) = &self.last {
            self.corrections[of.0][of.1].observe(last.ratio());
        }
        elapsed_ms
    }

    /// Forgets the times of a mode that has not run for a while; its factors stay until there are new ones.
    pub fn reopen(&mut self, mode: RoundMode) {
        self.corrections[slot(mode)].iter_mut().for_each(|c| c.recent.clear());
    }
}

/// The entry of [`CostModel::corrections`] for trees of so many rows.
fn size(rows: f64) -> usize {
    let rows = (rows.ceil() as usize).clamp(1, MAX_ROWS);
    rows.next_power_of_two().trailing_zeros() as usize
}
