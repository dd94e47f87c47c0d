//! Guesses and their chances: what a round of speculation is expected to yield.
//!
//! Chains after Leviathan et al. 2023 (arXiv 2211.17192), equation 1; trees grown best first, which gives the most
//! expected tokens for their size, after Sequoia (Chen et al. 2024, arXiv 2402.12374).

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use serde::Serialize;

use understory_protocol::{Error, Result};

/// Children of a node at most: those that this engine's draft proposes.
pub const MOST_CHILDREN: usize = 4;

/// How often guesses come true.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Acceptance {
    /// entry d - 1: the draft's best guess at depth d is the target's token, given that its parent was; the last entry
    /// also speaks for what is deeper
    pub by_depth: Vec<f64>,
    /// entry r - 2: of the tokens that the best guess misses, the share that the guess of rank r hits; `None`: each
    /// guess hits as many of what those before it missed as the best one does of all, which is optimistic
    pub by_rank: Option<Vec<f64>>,
}

impl Acceptance {
    /// # Errors
    /// [`Error::BadParameter`] for what is no chance, or ranks that together hit more than there is.
    pub fn new(by_depth: Vec<f64>, by_rank: Option<Vec<f64>>) -> Result<Self> {
        let bad = |name, value: &dyn std::fmt::Debug, expected| Error::BadParameter {
            name,
            value: format!("{value:?}"),
            expected,
        };
        let chance = |p: &f64| (0.0..=1.0).contains(p);
        if by_depth.is_empty() || !by_depth.iter().all(chance) {
            return Err(bad("acceptance", &by_depth, "numbers from 0 to 1, one a depth"));
        }
        let all = by_rank.iter().flatten();
        if !all.clone().all(chance) || all.sum::<f64>() > 1.0 + 1e-9 {
            let expected = "shares from 0 to 1 that add up to no more than 1";
            return Err(bad("rank-acceptance", &by_rank.unwrap_or_default(), expected));
        }
        Ok(Self { by_depth, by_rank })
    }

    /// That the guess of rank `rank` (from 1) at `depth` (from 1) is the target's token, given that its parent was.
    pub fn chance(&self, depth: usize, rank: usize) -> f64 {
        let best = self.by_depth[depth.min(self.by_depth.len()) - 1];
        match (rank, &self.by_rank) {
            (1, _) => best,
            (_, Some(shares)) => (1.0 - best) * shares.get(rank - 2).copied().unwrap_or(0.0),
            (_, None) => best * (1.0 - best).powi(rank as i32 - 1),
        }
    }
}

/// A tree of guesses below the last token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuessTree {
    /// tokens that a round with it yields on average, the target's own included
    pub expected_tokens: f64,
    /// nodes; the root is not one
    pub nodes: usize,
    /// entry l: rows that the draft computes for depth l + 1, the nodes at depth l (or the root) that have children
    pub draft_rows: Vec<usize>,
}

impl GuessTree {
    /// A chain of `k` guesses: `1 + a1 + a1 a2 + ...`.
    pub fn chain(acceptance: &Acceptance, k: usize) -> Self {
        let mut reached = 1.0;
        let mut expected_tokens = 1.0;
        for depth in 1..=k {
            reached *= acceptance.chance(depth, 1);
            expected_tokens += reached;
        }
        Self { expected_tokens, nodes: k, draft_rows: vec![1; k] }
    }

    /// The trees of 1, 2, ... `most` nodes, none deeper than `depth`, each with the most expected tokens of its size.
    pub fn best(acceptance: &Acceptance, depth: usize, most: usize) -> Vec<Self> {
        let mut tree = Self { expected_tokens: 1.0, ..Self::default() };
        let mut trees = Vec::new();
        let mut open = BinaryHeap::new();
        let node = |parent_chance: f64, depth: usize, rank: usize, parent: usize| Candidate {
            chance: parent_chance * acceptance.chance(depth, rank),
            parent_chance,
            depth,
            rank,
            parent,
        };
        // entry n: node n has children; the root is node 0
        let mut has_children = vec![false];
        open.push(node(1.0, 1, 1, 0));
        while trees.len() < most {
            let Some(next) = open.pop().filter(|next| next.chance > 0.0) else { break };
            tree.nodes += 1;
            tree.expected_tokens += next.chance;
            if tree.draft_rows.len() < next.depth {
                tree.draft_rows.push(0);
            }
            if !std::mem::replace(&mut has_children[next.parent], true) {
                tree.draft_rows[next.depth - 1] += 1;
            }
            has_children.push(false);
            if next.depth < depth {
                open.push(node(next.chance, next.depth + 1, 1, tree.nodes));
            }
            if next.rank < MOST_CHILDREN {
                open.push(node(next.parent_chance, next.depth, next.rank + 1, next.parent));
            }
            trees.push(tree.clone());
        }
        trees
    }
}

/// A node that could come next; the likeliest is the greatest, the shallower of equal ones.
struct Candidate {
    chance: f64,
    parent_chance: f64,
    depth: usize,
    rank: usize,
    parent: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.chance.total_cmp(&other.chance).then(other.depth.cmp(&self.depth)).then(other.parent.cmp(&self.parent))
    }
}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Candidate {}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(p: f64) -> Acceptance {
        Acceptance::new(vec![p], None).unwrap()
    }

    /// By hand: 1 + .8 + .64 + .512 + .4096, which is (1 - .8^5) / (1 - .8). It would catch `k p` (every guess
    /// counted as if its parent were sure), and the target's own token left out.
    #[test]
    fn a_chain_yields_the_geometric_sum() {
        let chain = GuessTree::chain(&constant(0.8), 4);
        assert!((chain.expected_tokens - 3.3616).abs() < 1e-12);
        assert!((chain.expected_tokens - (1.0 - 0.8f64.powi(5)) / (1.0 - 0.8)).abs() < 1e-12);
        let curve = Acceptance::new(vec![0.9, 0.5, 0.25], None).unwrap();
        // 1 + .9 + .45 + .1125 + .028125: the last entry speaks for depth 4.
        assert!((GuessTree::chain(&curve, 4).expected_tokens - 2.490625).abs() < 1e-12);
        assert_eq!(GuessTree::chain(&constant(1.0), 6).expected_tokens, 7.0);
        assert_eq!(GuessTree::chain(&constant(0.0), 6).expected_tokens, 1.0);
    }

    /// By hand, a = .5 and no more than 2 deep: chances are .5 (rank 1), .25 (its child, and rank 2), .125 (rank 3, the
    /// second child of rank 1, the child of rank 2).
    #[test]
    fn the_best_tree_takes_the_likeliest_node_next() {
        let trees = GuessTree::best(&constant(0.5), 2, 6);
        let expected: Vec<f64> = trees.iter().map(|t| t.expected_tokens).collect();
        assert_eq!(expected, [1.5, 1.75, 2.0, 2.125, 2.25, 2.375]);
        assert_eq!(trees[0].draft_rows, [1]);
        assert_eq!(trees[5].nodes, 6);
        // Both nodes of depth 1 that have children are drafted for.
        assert_eq!(trees[5].draft_rows, [1, 2]);
        assert!(GuessTree::best(&constant(0.5), 1, 63).len() == MOST_CHILDREN);
    }

    /// A chain is one of the trees, so the best tree of a size yields no less.
    #[test]
    fn no_chain_beats_the_best_tree_of_its_size() {
        for p in [0.1, 0.4, 0.7, 0.95] {
            let trees = GuessTree::best(&constant(p), 8, 8);
            for (tree, k) in trees.iter().zip(1..) {
                let chain = GuessTree::chain(&constant(p), k);
                assert!(tree.expected_tokens >= chain.expected_tokens - 1e-12, "{p} {k}");
            }
        }
    }

    #[test]
    fn ranks_share_what_the_best_guess_misses() {
        let ranked = Acceptance::new(vec![0.6], Some(vec![0.5, 0.25])).unwrap();
        let chances: Vec<f64> = (1..=4).map(|rank| ranked.chance(3, rank)).collect();
        assert!(chances.iter().zip([0.6, 0.2, 0.1, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{chances:?}");
        let assumed = constant(0.6);
        assert!((assumed.chance(1, 2) - 0.24).abs() < 1e-12 && (assumed.chance(1, 3) - 0.096).abs() < 1e-12);
        for bad in [vec![], vec![1.2], vec![-0.1], vec![f64::NAN]] {
            assert!(Acceptance::new(bad, None).is_err());
        }
        assert!(Acceptance::new(vec![0.5], Some(vec![0.7, 0.4])).is_err());
    }
}
