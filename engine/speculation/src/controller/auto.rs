//! The default policy: plain decoding, prompt lookup or drafting, whichever is expected to be fastest on this device
//! and this text, with trees sized by cost (see [`prune`](crate::prune)).
//!
//! - `cost_model`: what a round of each mode costs, corrected by what rounds took;
//! - `yield_estimator`: what rounds of each mode give, from what they gave;
//! - `lookup_simulator`: what lookup would have given while it did not run;
//! - `governor`: when to change the mode, and when to try one that is paused.

mod cost_model;
mod governor;
mod lookup_simulator;
mod yield_estimator;

use understory_protocol::method::{MATCHES, MAX_NODES};
use understory_protocol::{Costs, GovernorDecision, Round, RoundMode};

use super::{LookupPlan, RoundPlan};
use crate::acceptance_model::AcceptanceModel;
use crate::grow::{Branch, GrowRule};
use crate::lookup::LookupRule;
use crate::prune::Prune;

use cost_model::CostModel;
use governor::Governor;
use lookup_simulator::LookupSimulator;
use yield_estimator::YieldEstimator;

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
    cost_model: CostModel,
    yield_estimator: YieldEstimator,
    acceptance: AcceptanceModel,
    governor: Governor,
    lookup_simulator: LookupSimulator,
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
        let cost_model = CostModel::new(has_draft, costs);
        let (yield_estimator, acceptance) = (YieldEstimator::default(), AcceptanceModel::default());
        let (expected, _) = expectations(&cost_model, &yield_estimator, &acceptance);
        Self {
            governor: Governor::new(expected),
            cost_model,
            yield_estimator,
            acceptance,
            lookup_simulator: LookupSimulator::default(),
            unseen: 0,
        }
    }

    pub fn begin(&mut self, prompt: &[u32], unseen: usize) {
        self.unseen = unseen;
        self.lookup_simulator.begin(prompt);
    }

    pub fn lose_draft(&mut self) {
        self.cost_model.lose_draft();
    }

    pub fn plan(&mut self) -> RoundPlan {
        let (expected, levels) = expectations(&self.cost_model, &self.yield_estimator, &self.acceptance);
        let turn = self.governor.plan(expected, self.cost_model.catch_up_ms(self.unseen));
        if turn.mode == RoundMode::Draft {
            self.unseen = 0;
        }
        if let Some(mode) = turn.begins {
            self.yield_estimator.reopen(mode);
            self.cost_model.reopen(mode);
        }
        RoundPlan { probe: turn.probe, ..self.shape(turn.mode, levels) }
    }

    pub fn observe(&mut self, round: &Round, plan: &RoundPlan, matched: usize, elapsed_ms: Option<f64>) {
        if plan.mode == RoundMode::Plain {
            let tokens = self.cost_model.lookup_tokens().min(IMAGINED_TOKENS);
            let rule = LookupRule { max_match: MATCHES, min_match: MIN_MATCH, tokens };
            for &token in &round.emitted {
                if let Some(imagined) = self.lookup_simulator.observe(token, &rule) {
                    self.acceptance.observe(&imagined.nodes, &imagined.path, imagined.matched);
                    self.yield_estimator.observe_match(imagined.matched);
                }
            }
        } else {
            self.lookup_simulator.extend(&round.emitted);
            self.acceptance.observe(&round.nodes, &round.path, matched);
            self.yield_estimator.observe(round, plan, matched);
        }
        let elapsed_ms = self.cost_model.observe(plan.mode, round.nodes.len(), plan.levels, elapsed_ms);
        let (expected, _) = expectations(&self.cost_model, &self.yield_estimator, &self.acceptance);
        self.governor.observe(plan, round.emitted.len(), elapsed_ms, expected);
    }

    pub fn refined(&self, told: &Costs) -> Option<Costs> {
        self.cost_model.refined(told)
    }

    pub fn decisions(&self) -> &[GovernorDecision] {
        self.governor.decisions()
    }

    fn shape(&self, mode: RoundMode, levels: usize) -> RoundPlan {
        let ratio = self.acceptance.ratio();
        let lookup = LookupPlan {
            max_match: MATCHES,
            min_match: MIN_MATCH,
            tokens: self.cost_model.lookup_tokens(),
            log_prob: self.acceptance.lookup_log_prob(),
            sized_by_cost: mode == RoundMode::Lookup,
        };
        let verify_ms = || Some(Box::new(self.cost_model.verify_ms(mode)));
        match mode {
            RoundMode::Plain => RoundPlan::plain(),
            RoundMode::Lookup => RoundPlan {
                mode,
                rule: GrowRule::chain(lookup.tokens),
                prune: Some(Prune { ratio, sunk_ms: self.cost_model.sunk_ms(mode, 0) as f32 }),
                verify_ms: verify_ms(),
                lookup: Some(lookup),
                ..RoundPlan::plain()
            },
            RoundMode::Draft => {
                let frontier = self.cost_model.frontier();
                let rule = GrowRule {
                    branch: Branch::Fixed(BRANCH),
                    frontier,
                    level_nodes: (frontier + BRANCH).min(MAX_LEVEL_NODES),
                    max_depth: MAX_NODES,
                    ..GrowRule::chain((self.cost_model.draft_nodes(levels) + lookup.tokens).min(MAX_NODES))
                };
                let prune = Prune { ratio, sunk_ms: self.cost_model.sunk_ms(mode, levels) as f32 };
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
fn expectations(
    cost_model: &CostModel,
    yield_estimator: &YieldEstimator,
    acceptance: &AcceptanceModel,
) -> (Expected, usize) {
    let plain = 1.0 / cost_model.plain_ms();
    let lookup = cost_model.offers(RoundMode::Lookup).then(|| {
        let chances = acceptance.lookup_chance();
        let verify_ms = cost_model.verify_ms(RoundMode::Lookup);
        let (mut tokens, mut ms) = (0.0, 0.0);
        for (matched, share) in yield_estimator.match_shares().into_iter().enumerate() {
            let chance = if matched == 0 { 0.0 } else { f64::from(chances[matched - 1]) };
            let (n, expected) = cost_model.best_chain(&verify_ms, chance, cost_model.lookup_tokens());
            tokens += share * expected;
            ms += share * cost_model.round_ms(RoundMode::Lookup, (n + 1) as f64, 0);
        }
        tokens / ms
    });
    let draft = cost_model.offers(RoundMode::Draft).then(|| {
        let mut best = (0.0, 1);
        for levels in 1..=MAX_LEVELS {
            let ms =
                cost_model.round_ms(RoundMode::Draft, 1.0 + yield_estimator.nodes_per_level() * levels as f64, levels);
            let rate = yield_estimator.draft_tokens(levels) / ms;
            if rate > best.0 {
                best = (rate, levels);
            }
        }
        best
    });
    ([Some(plain), lookup, draft.map(|d| d.0)], draft.map_or(1, |d| d.1))
}
