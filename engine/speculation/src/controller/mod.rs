//! What the next rounds look like: the parameters that the host sets, one or more rounds after the results that they
//! follow from.
//!
//! A controller is a plain function of what it was told: equal observations give equal plans. Only `auto` looks at
//! times, so runs of every other method repeat exactly. No plan can change the text, only how fast it comes.

mod assisted;
mod auto;
mod dynatree;
mod fixed;

use understory_protocol::method::{MATCHES, Method, Schedule};
use understory_protocol::{Costs, GovernorDecision, Lossless, Round, RoundMode};

use super::grow::{Branch, GrowRule};
use super::lookup::LookupRule;
use super::prune::{Prune, VerifyMs};

use assisted::Assisted;
use auto::Auto;
use dynatree::DynaTree;

/// One round's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundPlan {
    pub mode: RoundMode,
    /// draft passes; 0 unless the mode is [`RoundMode::Draft`]
    pub levels: usize,
    /// what every level adds; where `levels` is 0, `max_nodes` still bounds the looked-up chain
    pub rule: GrowRule,
    /// `None`: all that has grown is verified
    pub prune: Option<Prune>,
    /// what verification costs by now; `None`: as it was measured at load
    pub verify_ms: Option<Box<VerifyMs>>,
    /// what the tree starts with; `None`: the root only
    pub lookup: Option<LookupPlan>,
    /// every tree is a chain, so its accepted path is rows 0, 1, ...: the KV rows are in place already
    pub chain: bool,
    /// `auto` tries a mode that it has paused
    pub probe: bool,
}

/// How to look up the chain that a round's tree starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LookupPlan {
    pub max_match: usize,
    pub min_match: usize,
    pub tokens: usize,
    /// entry m - 1 (matches beyond count as the last): natural logarithm of one token's chance after a match of m
    pub log_prob: [f32; MATCHES],
    /// the chain is cut by the rule of [`RoundPlan::prune`]; otherwise all of it is verified, or pruned with the draft's
    /// nodes
    pub sized_by_cost: bool,
}

impl LookupPlan {
    pub fn rule(&self) -> LookupRule {
        LookupRule { max_match: self.max_match, min_match: self.min_match, tokens: self.tokens }
    }
}

impl RoundPlan {
    /// The root only.
    pub fn plain() -> Self {
        Self {
            mode: RoundMode::Plain,
            levels: 0,
            rule: GrowRule::chain(0),
            prune: None,
            verify_ms: None,
            lookup: None,
            chain: true,
            probe: false,
        }
    }

    /// Tokens that the round gives at most: those of the longest path, and the target's own.
    pub fn most_tokens(&self) -> usize {
        let looked_up = self.lookup.as_ref().map_or(0, |lookup| lookup.tokens);
        1 + self.levels.max(looked_up).min(self.rule.max_nodes)
    }

    /// `levels` draft passes with one rule, and nothing else.
    fn drafted(levels: usize, rule: GrowRule) -> Self {
        let chain = rule.branch == Branch::Fixed(1);
        Self { mode: RoundMode::Draft, levels, rule, chain, ..Self::plain() }
    }
}

/// Plans the rounds of one request.
#[derive(Debug)]
pub struct Controller(Policy);

#[derive(Debug)]
enum Policy {
    Fixed(RoundPlan),
    DynaTree(DynaTree),
    Assisted(Assisted),
    Auto(Box<Auto>),
}

impl Controller {
    /// A controller for `method`. Sizes beyond what a tree holds are cut to it. Without a draft, methods that need one
    /// decode plainly and `auto` keeps to lookup; so does every method where the self-test found speculation not to be
    /// lossless ([`Lossless::Off`]).
    pub fn new(method: &Method, has_draft: bool, costs: &Costs) -> Self {
        let plain = || Policy::Fixed(RoundPlan::plain());
        let policy = match *method {
            _ if costs.lossless == Lossless::Off => plain(),
            Method::Ar => plain(),
            Method::Lookup { ngram, tokens } => Policy::Fixed(fixed::lookup(ngram, tokens)),
            Method::Auto => Policy::Auto(Box::new(Auto::new(has_draft, costs))),
            _ if !has_draft => plain(),
            Method::Linear { k } => Policy::Fixed(fixed::linear(k)),
            Method::Tree { depth, branch, tau, budget } => Policy::Fixed(fixed::tree(depth, branch, tau, budget)),
            Method::DynaTree => Policy::DynaTree(DynaTree::default()),
            Method::Assisted { schedule: Schedule::Heuristic { start } } => Policy::Assisted(Assisted::new(start)),
            Method::Assisted { schedule: Schedule::Confidence { most, threshold } } => {
                Policy::Fixed(fixed::confidence(most, threshold))
            }
        };
        Self(policy)
    }

    /// Tells the prompt: what the text may repeat, and how many of its tokens the draft has not seen.
    pub fn begin(&mut self, prompt: &[u32], unseen: usize) {
        if let Policy::Auto(policy) = &mut self.0 {
            policy.begin(prompt, unseen);
        }
    }

    /// The text has left the draft's context: from now on no draft can be had.
    pub fn lose_draft(&mut self) {
        if let Policy::Auto(policy) = &mut self.0 {
            policy.lose_draft();
        }
    }

    /// The next round. May run ahead of [`Self::observe`] by a few rounds.
    pub fn plan(&mut self) -> RoundPlan {
        match &mut self.0 {
            Policy::Fixed(plan) => plan.clone(),
            Policy::DynaTree(policy) => policy.plan(),
            Policy::Assisted(policy) => policy.plan(),
            Policy::Auto(policy) => policy.plan(),
        }
    }

    /// What became of a round: every one that was planned, in order. `matched` is the match of the looked-up chain in
    /// its tree (0: none), `elapsed_ms` the time from the round before it to this one, where it is known.
    pub fn observe(&mut self, round: &Round, plan: &RoundPlan, matched: usize, elapsed_ms: Option<f64>) {
        match &mut self.0 {
            Policy::Fixed(_) => (),
            Policy::DynaTree(policy) => policy.observe(round),
            Policy::Assisted(policy) => policy.observe(round),
            Policy::Auto(policy) => policy.observe(round, plan, matched, elapsed_ms),
        }
    }

    /// What passes cost by what rounds took, where that differs from `told`, the costs that this began with; only `auto`
    /// looks at times.
    pub fn refined(&self, told: &Costs) -> Option<Costs> {
        match &self.0 {
            Policy::Auto(policy) => policy.refined(told),
            _ => None,
        }
    }

    /// The changes of mode so far; only `auto` makes any.
    pub fn decisions(&self) -> &[GovernorDecision] {
        match &self.0 {
            Policy::Auto(policy) => policy.decisions(),
            _ => &[],
        }
    }
}
