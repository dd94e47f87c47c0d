//! How often guesses come true, learnt while the text is written: the draft's nodes by the path probability that it
//! gives them, looked-up tokens by the length of their match.
//!
//! Never decides anything: [`prune`](super::prune) and [`controller`](super::controller) do, with these numbers.

use understory_protocol::method::MATCHES;
use understory_protocol::{NodeOrigin, RoundNode};

use super::prune::{BINS, bin};

/// What one round's evidence weighs a round later: about 256 rounds are remembered.
const MEMORY: f32 = 1.0 - 1.0 / 256.0;
/// The prior of a bin: this many nodes that were accepted as often as the draft said ...
const PRIOR_NODES: f32 = 8.0;
/// ... and no less than this many accepted ones, or a single hit would decide an improbable bin.
const PRIOR_ACCEPTED: f32 = 1.0;
const RATIO: std::ops::RangeInclusive<f32> = 0.05..=20.0;
/// The prior of a looked-up token, and how many tokens it weighs.
const PRIOR_LOOKUP: f32 = 0.5;
const PRIOR_TOKENS: f32 = 4.0;

/// Accepted against expected.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    accepted: f32,
    expected: f32,
}

/// Counts of one request. Equal observations give equal numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AcceptanceModel {
    drafted: [Tally; BINS],
    /// entry m - 1: after a match of m tokens; `expected` counts trials
    looked_up: [Tally; MATCHES],
}

impl AcceptanceModel {
    /// Takes in one verified round: its tree, the rows of the accepted path, and how many tokens of context the
    /// looked-up chain had matched (0: none).
    ///
    /// Every drafted node counts once, whether its parent was accepted or not: what is wanted is the chance that the
    /// node lies on the accepted path, by the probability that the draft gives to that path. Looked-up nodes all have
    /// one chance each given their parent, so there a node counts where its parent was accepted.
    pub fn observe(&mut self, nodes: &[RoundNode], path: &[usize], matched: usize) {
        for tally in self.drafted.iter_mut().chain(&mut self.looked_up) {
            tally.accepted *= MEMORY;
            tally.expected *= MEMORY;
        }
        for (row, node) in nodes.iter().enumerate() {
            let accepted = if path.contains(&row) { 1.0 } else { 0.0 };
            let (tally, expected) = match node.origin {
                NodeOrigin::Draft { .. } => (&mut self.drafted[bin(node.log_prob)], node.log_prob.exp().min(1.0)),
                NodeOrigin::Lookup if matched > 0 && node.parent.is_some_and(|p| path.contains(&p)) => {
                    (&mut self.looked_up[matched.min(MATCHES) - 1], 1.0)
                }
                NodeOrigin::Lookup | NodeOrigin::Root => continue,
            };
            tally.accepted += accepted;
            tally.expected += expected;
        }
    }

    /// By [`bin`]: chance of acceptance over path probability, from 0.05 to 20.
    pub fn ratio(&self) -> [f32; BINS] {
        std::array::from_fn(|i| {
            let Tally { accepted, expected } = self.drafted[i];
            let middle = (-0.5 * (i as f32 + 0.5)).exp();
            let prior = (PRIOR_NODES * middle).max(PRIOR_ACCEPTED);
            ((accepted + prior) / (expected + prior)).clamp(*RATIO.start(), *RATIO.end())
        })
    }

    /// Entry m - 1: chance of one looked-up token after a match of m. Lengths share what they learn: the prior of one
    /// is the mean of all.
    pub fn lookup_chance(&self) -> [f32; MATCHES] {
        let chance =
            |tally: &Tally, prior: f32| (tally.accepted + PRIOR_TOKENS * prior) / (tally.expected + PRIOR_TOKENS);
        let all = self.looked_up.iter().fold(Tally::default(), |a, b| Tally {
            accepted: a.accepted + b.accepted,
            expected: a.expected + b.expected,
        });
        let mean = chance(&all, PRIOR_LOOKUP);
        self.looked_up.map(|tally| chance(&tally, mean))
    }

    /// [`Self::lookup_chance`] as natural logarithms: a node d tokens into its chain has d times this.
    pub fn lookup_log_prob(&self) -> [f32; MATCHES] {
        self.lookup_chance().map(f32::ln)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::DraftTree;

    fn chain(log_probs: &[f32], origin: NodeOrigin) -> DraftTree {
        let mut tree = DraftTree::new(0);
        for (i, &log_prob) in log_probs.iter().enumerate() {
            tree.push(i, i as u32, log_prob, origin).unwrap();
        }
        tree
    }

    #[test]
    fn without_evidence_the_draft_is_taken_at_its_word() {
        let model = AcceptanceModel::default();
        assert_eq!(model.ratio(), [1.0; BINS]);
        assert_eq!(model.lookup_chance(), [0.5; MATCHES]);
    }

    /// A draft that says 0.8 and 0.4 where 0.4 and 0.1 come true. Seen to fail here: nodes below a rejected parent
    /// left out.
    #[test]
    fn ratios_approach_what_comes_true() {
        let tree = chain(&[0.8f32.ln(), 0.4f32.ln()], NodeOrigin::Draft { rank: 1 });
        let mut model = AcceptanceModel::default();
        for round in 0..2000 {
            let path: &[usize] = match round % 10 {
                0 => &[0, 1, 2],
                3 | 6 | 8 => &[0, 1],
                _ => &[0],
            };
            model.observe(tree.rows(), path, 0);
        }
        let ratio = model.ratio();
        assert!((ratio[bin(0.8f32.ln())] - 0.5).abs() < 0.03, "{ratio:?}");
        assert!((ratio[bin(0.4f32.ln())] - 0.25).abs() < 0.05, "{ratio:?}");
        assert_eq!(ratio[15], 1.0);
        // One round of chance does not lift an improbable bin far.
        let far = chain(&[-7.0], NodeOrigin::Draft { rank: 1 });
        let mut model = AcceptanceModel::default();
        model.observe(far.rows(), &[0, 1], 0);
        assert!(model.ratio()[14] < 2.01);
    }

    /// A chain of 3 of which 1 is accepted: two trials, as the third was never at stake. Seen to fail here: all three
    /// counted.
    #[test]
    fn looked_up_tokens_count_where_they_were_at_stake() {
        let tree = chain(&[-1.0, -2.0, -3.0], NodeOrigin::Lookup);
        let mut model = AcceptanceModel::default();
        for _ in 0..2000 {
            model.observe(tree.rows(), &[0, 1], 3);
        }
        let chance = model.lookup_chance();
        assert!(chance.iter().all(|c| (c - 0.5).abs() < 1e-3), "{chance:?}");
        for _ in 0..500 {
            model.observe(tree.rows(), &[0, 1, 2, 3], 20);
            model.observe(tree.rows(), &[0], 2);
        }
        let chance = model.lookup_chance();
        assert!(chance[7] > 0.98 && chance[1] < 0.03, "{chance:?}");
        assert!(chance[4] > 0.4 && chance[4] < 0.9, "the mean of all: {chance:?}");
        // Drafted nodes are no evidence about lookups, nor is a tree without a match.
        let before = model.lookup_chance();
        model.observe(chain(&[-1.0], NodeOrigin::Draft { rank: 1 }).rows(), &[0, 1], 2);
        let after = model.lookup_chance();
        assert!((before[1] - after[1]).abs() < 1e-3);
    }
}
