//! How much of a grown tree to verify, by what verification costs on this device. The kernel `grow` ends with the
//! same rule on the device; this is what it is tested against.
//!
//! EAGLE-2 (Li et al., 2024) reranks a grown tree by path probability and keeps a fixed number of nodes. Here
//! probabilities are calibrated first (see [`acceptance_model`](super::acceptance_model)), and the number is the one with the
//! most expected tokens per millisecond; no node at all is one of the choices. Any subset closed under parents is
//! lossless.

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Costs, NodeOrigin, RoundNode};

use super::grow::descending;
use super::tree::DraftTree;

/// Bins of a path's log-probability, half a nat each; the last one is open.
pub const BINS: usize = 16;

/// Milliseconds of a verification pass by its rows; entry 0 means nothing.
pub type VerifyMs = [f32; MAX_ROWS + 1];

/// What pruning needs to know beside the tree and the cost of verification.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prune {
    /// by [`bin`]: chance that a drafted node is accepted over the path probability that the draft gives it
    pub ratio: [f32; BINS],
    /// what this round costs before and beside verification
    pub sunk_ms: f32,
}

impl Prune {
    /// Natural logarithms of the ratios: nodes are ordered by sums of logarithms, whose bits are the same everywhere.
    pub fn log_ratio(&self) -> [f32; BINS] {
        self.ratio.map(f32::ln)
    }
}

/// A pruned tree, and the rows of the former one that it consists of, in ascending order (the root first).
#[derive(Clone, Debug, PartialEq)]
pub struct Pruned {
    pub tree: DraftTree,
    pub kept: Vec<usize>,
}

/// The bin of a path's log-probability.
pub fn bin(log_prob: f32) -> usize {
    (-2.0 * log_prob).floor().clamp(0.0, (BINS - 1) as f32) as usize
}

/// The expected cost of every number of rows: measured ones as they are, between them in proportion, beyond them with
/// the slope of the last two or that of all, whichever is steeper: what was not measured must not look cheap.
pub fn verify_ms(costs: &Costs) -> VerifyMs {
    std::array::from_fn(|rows| interpolate(&costs.verify_ms, rows) as f32)
}

/// A cost at `x` from points with ascending `x`; 0 without any.
pub(super) fn interpolate(points: &[(usize, f64)], x: usize) -> f64 {
    match points {
        [] => 0.0,
        [(_, only)] => *only,
        [(first, ms), ..] if x <= *first => *ms,
        _ => {
            let slope = |(x0, y0): (usize, f64), (x1, y1): (usize, f64)| (y1 - y0) / (x1 - x0) as f64;
            let at = |(x0, y0): (usize, f64), slope: f64| y0 + slope * (x - x0) as f64;
            match points.iter().position(|p| p.0 >= x) {
                Some(end) => at(points[end - 1], slope(points[end - 1], points[end])),
                None => {
                    let (before, last) = (points[points.len() - 2], points[points.len() - 1]);
                    at(last, slope(before, last).max(slope(points[0], last)).max(0.0))
                }
            }
        }
    }
}

/// Logarithm of the chance that each row is accepted, never above its parent's: drafted nodes calibrated, looked-up
/// ones as they are.
pub fn log_values(tree: &DraftTree, prune: &Prune) -> Vec<f32> {
    let log_ratio = prune.log_ratio();
    let mut values: Vec<f32> = Vec::with_capacity(tree.rows().len());
    for node in tree.rows() {
        let own = match node.origin {
            NodeOrigin::Draft { .. } => log_ratio[bin(node.log_prob)] + node.log_prob,
            NodeOrigin::Lookup | NodeOrigin::Root => node.log_prob,
        };
        values.push(node.parent.map_or(0.0, |p| own.min(values[p])));
    }
    values
}

/// Keeps the `n` most valuable nodes, for the `n` with the most expected tokens per millisecond,
/// `(1 + sum of values) / (sunk_ms + verify_ms[n + 1])`; the smallest such `n`. Rows keep their order.
pub fn prune(tree: &DraftTree, prune: &Prune, verify_ms: &VerifyMs) -> Pruned {
    let values = log_values(tree, prune);
    // No child is worth more than its parent, and its row is higher: every head of this order is closed under parents.
    let mut order: Vec<usize> = (1..values.len()).collect();
    order.sort_by(|&a, &b| descending(values[a], values[b]).then(a.cmp(&b)));

    let rate = |tokens: f32, n: usize| tokens / (prune.sunk_ms + verify_ms[n + 1]);
    let mut tokens = 1.0;
    let (mut best_n, mut best_rate) = (0, rate(tokens, 0));
    for (i, &row) in order.iter().enumerate() {
        tokens += values[row].exp();
        let rate = rate(tokens, i + 1);
        if rate > best_rate {
            (best_n, best_rate) = (i + 1, rate);
        }
    }
    let mut kept = vec![0];
    kept.extend_from_slice(&order[..best_n]);
    kept.sort_unstable();
    Pruned { tree: compact(tree, &kept), kept }
}

/// The rows `kept` (ascending, closed under parents) as a tree of their own.
fn compact(tree: &DraftTree, kept: &[usize]) -> DraftTree {
    let new_row = |old: usize| kept.binary_search(&old).expect("kept rows are closed under parents");
    let rows: Vec<_> = kept
        .iter()
        .map(|&r| &tree.rows()[r])
        .map(|n| RoundNode { parent: n.parent.map(new_row), ..n.clone() })
        .collect();
    DraftTree::from_rows(&rows).expect("a part of a tree that is closed under parents is a tree")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_half_a_nat_wide_and_the_ends_are_open() {
        let cases = [(0.1, 0), (0.0, 0), (-0.49, 0), (-0.5, 1), (-7.4, 14), (-7.5, 15), (f32::NEG_INFINITY, 15)];
        for (log_prob, want) in cases {
            assert_eq!(bin(log_prob), want, "{log_prob}");
        }
    }

    #[test]
    fn costs_between_and_beyond_the_measured_ones() {
        let points = [(1, 5.0), (3, 6.0), (8, 11.0), (16, 10.0)];
        for (rows, want) in [(0, 5.0), (1, 5.0), (2, 5.5), (3, 6.0), (4, 7.0), (8, 11.0), (12, 10.5), (64, 26.0)] {
            assert!((interpolate(&points, rows) - want).abs() < 1e-9, "{rows}");
        }
        assert_eq!(interpolate(&[(1, 2.0), (2, 3.0)], 10), 11.0);
        assert_eq!(interpolate(&[(4, 2.0)], 9), 2.0);
        assert_eq!(interpolate(&[], 9), 0.0);
    }

    /// Two nodes of 0.5 and 0.25: worth it where rows are cheap, not where they cost a pass each.
    #[test]
    fn the_price_of_a_row_decides() {
        let mut tree = DraftTree::new(0);
        tree.push_lookup(&[1, 2], 0.5f32.ln());
        let sizes = |row_ms: f32, sunk_ms: f32| {
            let costs: VerifyMs = std::array::from_fn(|rows| 10.0 + row_ms * (rows as f32 - 1.0));
            prune(&tree, &Prune { ratio: [1.0; BINS], sunk_ms }, &costs).tree.n_nodes()
        };
        assert_eq!(sizes(0.1, 0.0), 2);
        assert_eq!(sizes(2.0, 0.0), 1);
        assert_eq!(sizes(10.0, 0.0), 0);
        // What is spent already makes small gains cheap.
        assert_eq!(sizes(2.0, 50.0), 2);
    }

    #[test]
    fn ratios_apply_to_drafted_nodes_and_never_lift_one_above_its_parent() {
        let mut tree = DraftTree::new(0);
        tree.push_lookup(&[1], -1.0);
        let drafted = tree.push(1, 2, -1.2, NodeOrigin::Draft { rank: 1 }).unwrap();
        tree.push(0, 3, -3.0, NodeOrigin::Draft { rank: 1 }).unwrap();
        let mut ratio = [1.0; BINS];
        ratio[bin(-1.2)] = 20.0;
        ratio[bin(-3.0)] = 0.5;
        let values = log_values(&tree, &Prune { ratio, sunk_ms: 0.0 });
        assert_eq!(values[..=drafted], [0.0, -1.0, -1.0]);
        assert_eq!(values[3], 0.5f32.ln() - 3.0);
    }
}
