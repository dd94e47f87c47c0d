//! Methods whose plan never changes: chains and trees of one size, prompt lookup, and the chain that ends by the
//! draft's own confidence (which the device sees for itself).

use understory_protocol::RoundMode;
use understory_protocol::method::{MATCHES, MAX_BRANCH, MAX_NODES};

use super::{LookupPlan, RoundPlan};
use crate::grow::{Branch, GrowRule};

/// A chain of `k` (Leviathan et al., 2023; Chen et al., 2023).
pub(super) fn linear(k: usize) -> RoundPlan {
    let rule = GrowRule::chain(k);
    RoundPlan::drafted(rule.max_depth, rule)
}

/// SpecInfer's static tree with DynaTree's pruning: `branch` children a node, none below a path probability of `tau`,
/// `budget` nodes in all.
pub(super) fn tree(depth: usize, branch: usize, tau: f32, budget: usize) -> RoundPlan {
    let (depth, budget) = (depth.min(MAX_NODES), budget.min(MAX_NODES));
    let rule = GrowRule {
        branch: Branch::Fixed(branch.clamp(1, MAX_BRANCH)),
        frontier: budget,
        level_nodes: budget,
        tau,
        max_depth: depth,
        ..GrowRule::chain(budget)
    };
    RoundPlan::drafted(depth, rule)
}

/// `transformers`' dynamic chain: up to `most` tokens, the last one being the first whose probability is below
/// `threshold`. As there, the token that fell below is verified too.
pub(super) fn confidence(most: usize, threshold: f32) -> RoundPlan {
    let rule = GrowRule { stop_below: threshold, ..GrowRule::chain(most) };
    RoundPlan::drafted(rule.max_depth, rule)
}

/// Prompt lookup without a draft (Saxena, 2023): `tokens` after a match of 1 to `ngram`.
pub(super) fn lookup(ngram: usize, tokens: usize) -> RoundPlan {
    let tokens = tokens.min(MAX_NODES);
    // Nothing is decided by these; they are what a trace shows.
    let log_prob = [0.5f32.ln(); MATCHES];
    let lookup = LookupPlan { max_match: ngram, min_match: 1, tokens, log_prob, sized_by_cost: false };
    RoundPlan { mode: RoundMode::Lookup, rule: GrowRule::chain(tokens), lookup: Some(lookup), ..RoundPlan::plain() }
}
