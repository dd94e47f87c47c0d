//! The default policy: plain decoding, prompt lookup or drafting, whichever is expected to be fastest on this device
//! and this text, with trees sized by cost (see [`prune`](crate::speculation::prune)).
//!
//! - `economy`: what a round of each mode costs, corrected by what rounds took;
//! - `evidence`: what rounds of each mode give, from what they gave;
//! - `shadow`: what lookup would have given while it did not run;
//! - `governor`: when to change the mode, and when to try one that is paused.

mod economy;
mod evidence;
mod governor;
mod shadow;

use super::{LookupPlan, RoundPlan};
use crate::{
    protocol::{Costs, GovernorDecision, Round, RoundMode},
    speculation::{
        calibration::{Calibration, MATCHES},
        grow::{Branch, GrowRule},
        lookup::LookupRule,
        prune::Prune,
        tree::MAX_NODES,
    },
};

use economy::Economy;
use evidence::Evidence;
use governor::Governor;
use shadow::Shadow;

/// The most draft passes of a round.
const MAX_LEVELS: usize = 6;
const BRANCH: usize = 4;
const MAX_LEVEL_NODES: usize = 12;
/// Shorter matches are found everywhere and lead nowhere.
const MIN_MATCH: usize = 2;

/// Tokens of an imagined chain: a short one tells sooner what a token's chance is.
const IMAGINED_TOKENS: usize = 4;

/// Tokens per millisecond of plain, lookup and draft; `None`: not to be had.
type Expected = [Option<f64>; 3];

#[derive(Debug)]
pub(super) struct Auto {
    economy: Economy,
    evidence: Evidence,
    calibration: Calibration,
    governor: Governor,
    shadow: Shadow,
    /// tokens of the prompt that the draft has not seen
    unseen: usize,
}

fn slot(mode: RoundMode) -> usize {
    match mode {
        RoundMode::Plain => 0,
        RoundMode::Lookup => 1,
        RoundMode::Draft => 2,
    }
}

impl Auto {
    pub fn new(has_draft: bool, costs: &Costs) -> Self {
        let economy = Economy::new(has_draft, costs);
        let (evidence, calibration) = (Evidence::default(), Calibration::default());
        let (expected, _) = expectations(&economy, &evidence, &calibration);
        Self { governor: Governor::new(expected), economy, evidence, calibration, shadow: Shadow::default(), unseen: 0 }
    }

    pub fn begin(&mut self, prompt: &[u32], unseen: usize) {
        self.unseen = unseen;
        self.shadow.begin(prompt);
    }

    pub fn lose_draft(&mut self) {
        self.economy.lose_draft();
    }

    pub fn plan(&mut self) -> RoundPlan {
        let (expected, levels) = expectations(&self.economy, &self.evidence, &self.calibration);
        let turn = self.governor.plan(expected, self.economy.catch_up_ms(self.unseen));
        if turn.mode == RoundMode::Draft {
            self.unseen = 0;
        }
        if let Some(mode) = turn.begins {
            self.evidence.reopen(mode);
            self.economy.reopen(mode);
        }
        RoundPlan { probe: turn.probe, ..self.shape(turn.mode, levels) }
    }

    pub fn observe(&mut self, round: &Round, plan: &RoundPlan, matched: usize, elapsed_ms: Option<f64>) {
        if plan.mode == RoundMode::Plain {
            let tokens = self.economy.lookup_tokens().min(IMAGINED_TOKENS);
            let rule = LookupRule { max_match: MATCHES, min_match: MIN_MATCH, tokens };
            for &token in &round.emitted {
                if let Some(imagined) = self.shadow.observe(token, &rule) {
                    self.calibration.observe(&imagined.nodes, &imagined.path, imagined.matched);
                    self.evidence.observe_match(imagined.matched);
                }
            }
        } else {
            self.shadow.extend(&round.emitted);
            self.calibration.observe(&round.nodes, &round.path, matched);
            self.evidence.observe(round, plan, matched);
        }
        let elapsed_ms = self.economy.observe(plan.mode, round.nodes.len(), plan.levels, elapsed_ms);
        let (expected, _) = expectations(&self.economy, &self.evidence, &self.calibration);
        self.governor.observe(plan, round.emitted.len(), elapsed_ms, expected);
    }

    pub fn decisions(&self) -> &[GovernorDecision] {
        self.governor.decisions()
    }

    fn shape(&self, mode: RoundMode, levels: usize) -> RoundPlan {
        let ratio = self.calibration.ratio();
        let lookup = LookupPlan {
            max_match: MATCHES,
            min_match: MIN_MATCH,
            tokens: self.economy.lookup_tokens(),
            log_prob: self.calibration.lookup_log_prob(),
            sized_by_cost: mode == RoundMode::Lookup,
        };
        let verify_ms = || Some(Box::new(self.economy.verify_ms(mode)));
        match mode {
            RoundMode::Plain => RoundPlan::plain(),
            RoundMode::Lookup => RoundPlan {
                mode,
                rule: GrowRule::chain(lookup.tokens),
                prune: Some(Prune { ratio, sunk_ms: self.economy.sunk_ms(mode, 0) as f32 }),
                verify_ms: verify_ms(),
                lookup: Some(lookup),
                ..RoundPlan::plain()
            },
            RoundMode::Draft => {
                let frontier = self.economy.frontier();
                let rule = GrowRule {
                    branch: Branch::Fixed(BRANCH),
                    frontier,
                    level_nodes: (frontier + BRANCH).min(MAX_LEVEL_NODES),
                    max_depth: MAX_NODES,
                    ..GrowRule::chain((self.economy.draft_nodes(levels) + lookup.tokens).min(MAX_NODES))
                };
                let prune = Prune { ratio, sunk_ms: self.economy.sunk_ms(mode, levels) as f32 };
                RoundPlan {
                    prune: Some(prune),
                    verify_ms: verify_ms(),
                    lookup: Some(lookup),
                    ..RoundPlan::drafted(levels, rule)
                }
            }
        }
    }
}

/// Expected tokens per millisecond of each mode, and the number of levels at which drafting reaches its own.
fn expectations(economy: &Economy, evidence: &Evidence, calibration: &Calibration) -> (Expected, usize) {
    let plain = 1.0 / economy.plain_ms();
    let lookup = economy.offers(RoundMode::Lookup).then(|| {
        let chances = calibration.lookup_chance();
        let verify_ms = economy.verify_ms(RoundMode::Lookup);
        let (mut tokens, mut ms) = (0.0, 0.0);
        for (matched, share) in evidence.match_shares().into_iter().enumerate() {
            let chance = if matched == 0 { 0.0 } else { f64::from(chances[matched - 1]) };
            let (n, expected) = economy.best_chain(&verify_ms, chance, economy.lookup_tokens());
            tokens += share * expected;
            ms += share * economy.round_ms(RoundMode::Lookup, (n + 1) as f64, 0);
        }
        tokens / ms
    });
    let draft = economy.offers(RoundMode::Draft).then(|| {
        let mut best = (0.0, 1);
        for levels in 1..=MAX_LEVELS {
            let ms = economy.round_ms(RoundMode::Draft, 1.0 + evidence.nodes_per_level() * levels as f64, levels);
            let rate = evidence.draft_tokens(levels) / ms;
            if rate > best.0 {
                best = (rate, levels);
            }
        }
        best
    });
    ([Some(plain), lookup, draft.map(|d| d.0)], draft.map_or(1, |d| d.1))
}
