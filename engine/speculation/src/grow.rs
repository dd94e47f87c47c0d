//! One level of the draft's tree: which candidates become nodes and which nodes are looked at next. The kernel `grow`
//! does the same on the device; this is what it is tested against.
//!
//! One rule serves every method, with other numbers: a chain (Leviathan et al., 2023; Chen et al., 2023), a static
//! tree (SpecInfer, Miao et al., 2024), DynaTree's branching by confidence, `transformers`' assisted generation with
//! its confidence threshold, and trees of the most probable paths (EAGLE-2, Li et al., 2024). The shape depends on the
//! text so far and nothing else, which is what keeps verification lossless.
//!
//! Probabilities are compared as logarithms, with thresholds that the host takes the logarithm of: an exponential has
//! other bits on another device, an addition and a comparison have not.

use std::cmp::Ordering;

use understory_protocol::NodeOrigin;
use understory_protocol::method::{MAX_BRANCH, MAX_NODES};

use super::tree::DraftTree;

/// From this probability of its best candidate on, a row has one child ([`Branch::ByConfidence`]).
const SURE: f32 = 0.9;
/// Below this one it has three.
const UNSURE: f32 = 0.4;
/// In place of the logarithm of zero, as a device need not know infinities.
const NEVER_BELOW: f32 = -1e30;

/// How many candidates of a row become its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// 1 to [`MAX_BRANCH`]
    Fixed(usize),
    /// DynaTree's: 1 where the best candidate has a probability of 0.9 or more, 3 where it is below 0.4, else 2
    ByConfidence,
}

/// The rule of one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowRule {
    pub branch: Branch,
    /// the most rows of the next level's draft pass
    pub frontier: usize,
    /// the most nodes that one level adds
    pub level_nodes: usize,
    /// nodes of the whole tree without its root, looked-up ones included; at most [`MAX_NODES`]
    pub max_nodes: usize,
    /// a node with a smaller path probability has no children
    pub tau: f32,
    /// from this depth on, a node has children only if its path is more probable than `deep`
    pub deep_from: usize,
    pub deep: f32,
    /// a node less probable than this (given its parent) has no children
    pub stop_below: f32,
    /// no node lies deeper
    pub max_depth: usize,
}

/// The probabilities of a [`GrowRule`] as natural logarithms, the form in which they are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub tau: f32,
    pub deep: f32,
    pub stop_below: f32,
    pub sure: f32,
    pub unsure: f32,
}

impl GrowRule {
    /// A chain of `k` tokens: no branches and no thresholds.
    pub fn chain(k: usize) -> Self {
        let k = k.min(MAX_NODES);
        Self {
            branch: Branch::Fixed(1),
            frontier: 1,
            level_nodes: 1,
            max_nodes: k,
            tau: 0.0,
            deep_from: usize::MAX,
            deep: 0.0,
            stop_below: 0.0,
            max_depth: k,
        }
    }

    pub fn thresholds(&self) -> Thresholds {
        let ln = |p: f32| p.ln().max(NEVER_BELOW);
        Thresholds {
            tau: ln(self.tau),
            deep: ln(self.deep),
            stop_below: ln(self.stop_below),
            sure: ln(SURE),
            unsure: ln(UNSURE),
        }
    }
}

/// A node of the level: a new one or a looked-up one that the draft proposed too.
struct Member {
    row: usize,
    /// given its parent, as the draft sees it
    own_log_prob: f32,
}

/// Adds a level to `tree` and returns the rows to look at next, the most probable first.
///
/// `frontier` holds the rows that the draft has just seen, and `candidates` for each its best tokens with their
/// log-probabilities, no token twice. They come ranked with the target's own noise, so above temperature 0 the first
/// need not be the most probable one; its probability is the row's confidence all the same.
///
/// A candidate that is a child already (a looked-up one) is not added again: the child gets the larger of both
/// log-probabilities and counts as a member of the level. New nodes are appended by path log-probability, the largest
/// first, the earlier candidate on a tie. Of a level that the budget cannot hold whole, the most probable nodes stay.
/// The published breadth-first rule keeps the first in order of expansion instead, which cuts whatever happens to hang
/// below the last parents, however probable.
///
/// # Panics
/// Where a row's candidates hold a token twice, or a frontier row does not exist.
pub fn grow(tree: &mut DraftTree, frontier: &[usize], candidates: &[Vec<(u32, f32)>], rule: &GrowRule) -> Vec<usize> {
    let thresholds = rule.thresholds();
    let mut members = Vec::new();
    // parent, token, log-probability of the path and of the token, rank
    let mut proposals: Vec<(usize, u32, f32, f32, usize)> = Vec::new();
    for (&parent, candidates) in frontier.iter().zip(candidates) {
        let Some(&(_, best)) = candidates.first() else { continue };
        let (depth, path) = (tree.rows()[parent].depth, tree.rows()[parent].log_prob);
        if depth + 1 > rule.max_depth {
            continue;
        }
        for (rank, &(token, own)) in candidates.iter().enumerate().take(n_children(rule.branch, best, &thresholds)) {
            match tree.child(parent, token) {
                Some(row) => {
                    tree.raise(row, path + own);
                    members.push(Member { row, own_log_prob: own });
                }
                None => proposals.push((parent, token, path + own, own, rank + 1)),
            }
        }
    }
    // A stable sort: the earlier proposal wins a tie.
    proposals.sort_by(|a, b| descending(a.2, b.2));
    let room = rule.max_nodes.min(MAX_NODES).saturating_sub(tree.n_nodes());
    for &(parent, token, log_prob, own_log_prob, rank) in proposals.iter().take(rule.level_nodes.min(room)) {
        let row = tree
            .push(parent, token, log_prob, NodeOrigin::Draft { rank })
            .expect("there is room, the parent exists, and a row's candidates are distinct");
        members.push(Member { row, own_log_prob });
    }

    let expands = |m: &Member| {
        let node = &tree.rows()[m.row];
        node.log_prob >= thresholds.tau
            && (node.depth < rule.deep_from || node.log_prob > thresholds.deep)
            && m.own_log_prob >= thresholds.stop_below
            && node.depth < rule.max_depth
    };
    let mut next: Vec<usize> = members.iter().filter(|m| expands(m)).map(|m| m.row).collect();
    let log_prob = |row: usize| tree.rows()[row].log_prob;
    next.sort_by(|&a, &b| descending(log_prob(a), log_prob(b)).then(a.cmp(&b)));
    next.truncate(rule.frontier);
    next
}

fn n_children(branch: Branch, best: f32, thresholds: &Thresholds) -> usize {
    match branch {
        Branch::Fixed(n) => n.min(MAX_BRANCH),
        Branch::ByConfidence if best >= thresholds.sure => 1,
        Branch::ByConfidence if best < thresholds.unsure => 3,
        Branch::ByConfidence => 2,
    }
}

/// The larger first; both zeros are equal.
pub(super) fn descending(a: f32, b: f32) -> Ordering {
    (b + 0.0).total_cmp(&(a + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ln(p: f32) -> f32 {
        p.ln()
    }

    fn wide() -> GrowRule {
        GrowRule {
            branch: Branch::Fixed(4),
            frontier: 8,
            level_nodes: 8,
            max_nodes: 63,
            max_depth: 8,
            ..GrowRule::chain(1)
        }
    }

    fn tokens(tree: &DraftTree) -> Vec<u32> {
        tree.rows().iter().map(|r| r.token).collect()
    }

    #[test]
    fn a_chain_follows_the_best_candidate_to_its_length() {
        let mut tree = DraftTree::new(0);
        let rule = GrowRule::chain(2);
        let mut frontier = vec![0];
        for level in 1..=3 {
            frontier = grow(&mut tree, &frontier, &[vec![(level, ln(0.5)), (9, ln(0.4))]], &rule);
        }
        assert_eq!(tokens(&tree), [0, 1, 2]);
        assert!(frontier.is_empty());
        assert_eq!(tree.rows()[2].log_prob, ln(0.5) + ln(0.5));
    }

    /// Seen to fail here: the first candidates in order of expansion kept.
    #[test]
    fn a_budget_keeps_the_most_probable_of_a_level() {
        let mut tree = DraftTree::new(0);
        let rule = GrowRule { branch: Branch::Fixed(2), max_nodes: 4, ..wide() };
        let first = grow(&mut tree, &[0], &[vec![(1, ln(0.5)), (2, ln(0.4))]], &rule);
        assert_eq!(first, [1, 2]);
        let second =
            grow(&mut tree, &first, &[vec![(3, ln(0.3)), (4, ln(0.2))], vec![(5, ln(0.9)), (6, ln(0.05))]], &rule);
        assert_eq!(tokens(&tree), [0, 1, 2, 5, 3]);
        assert_eq!(second, [3, 4]);
        assert_eq!(tree.rows()[3].parent, Some(2));
        assert!(grow(&mut tree, &second, &[vec![(7, 0.0)], vec![(7, 0.0)]], &rule).is_empty());
    }

    #[test]
    fn branches_follow_confidence() {
        for (best, children) in [(0.95, 1), (0.89, 2), (0.4, 2), (0.39, 3)] {
            let mut tree = DraftTree::new(0);
            let candidates = (0..4).map(|i| (i, ln(best) - i as f32)).collect();
            grow(&mut tree, &[0], &[candidates], &GrowRule { branch: Branch::ByConfidence, ..wide() });
            assert_eq!(tree.n_nodes(), children, "{best}");
        }
    }

    /// Seen to fail here: the looked-up child left out of the next frontier; its log-probability lowered.
    #[test]
    fn a_proposal_that_was_looked_up_is_no_new_node() {
        let mut tree = DraftTree::new(0);
        tree.push_lookup(&[1, 2], ln(0.3));
        let first = grow(
            &mut tree,
            &[0],
            &[vec![(1, ln(0.6)), (3, ln(0.2))]],
            &GrowRule { branch: Branch::Fixed(2), ..wide() },
        );
        assert_eq!(tokens(&tree), [0, 1, 2, 3]);
        assert_eq!(tree.rows()[1].log_prob, ln(0.6));
        assert_eq!(tree.rows()[1].origin, NodeOrigin::Lookup);
        assert_eq!(tree.rows()[3].origin, NodeOrigin::Draft { rank: 2 });
        assert_eq!(first, [1, 3]);
        let second = grow(&mut tree, &first, &[vec![(2, ln(0.1))], vec![(4, ln(0.9))]], &wide());
        assert_eq!(tree.rows()[2].log_prob, 2.0 * ln(0.3));
        assert_eq!(tree.rows()[4].parent, Some(3));
        assert_eq!(second, [4, 2]);
    }

    #[test]
    fn every_part_of_the_expansion_test_counts() {
        let level = |rule: GrowRule| {
            let mut tree = DraftTree::new(0);
            let first = grow(&mut tree, &[0], &[vec![(1, ln(0.5)), (2, ln(0.25))]], &rule);
            (tree.n_nodes(), first)
        };
        let rule = wide();
        assert_eq!(level(rule), (2, vec![1, 2]));
        assert_eq!(level(GrowRule { tau: 0.3, ..rule }), (2, vec![1]));
        assert_eq!(level(GrowRule { deep_from: 1, deep: 0.3, ..rule }), (2, vec![1]));
        assert_eq!(level(GrowRule { deep_from: 2, deep: 0.3, ..rule }), (2, vec![1, 2]));
        // The node that fell below stays and is verified.
        assert_eq!(level(GrowRule { stop_below: 0.3, ..rule }), (2, vec![1]));
        assert_eq!(level(GrowRule { max_depth: 1, ..rule }), (2, vec![]));
        assert_eq!(level(GrowRule { max_depth: 0, ..rule }), (0, vec![]));
        assert_eq!(level(GrowRule { frontier: 1, ..rule }), (2, vec![1]));
        assert_eq!(level(GrowRule { level_nodes: 1, ..rule }), (1, vec![1]));
        // "At least tau" and "more than deep": the thresholds themselves.
        assert_eq!(level(GrowRule { tau: 0.5, ..rule }), (2, vec![1]));
        assert_eq!(level(GrowRule { deep_from: 1, deep: 0.5, ..rule }), (2, vec![]));
    }
}
