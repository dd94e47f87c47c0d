//! What the host reads of the state after a submission: the tokens chosen, and the record of the last round.

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{NodeOrigin, Round, RoundMode, RoundNode};

use crate::kernels::state::{self, RING, RING_AT};

/// The state's first words, [`state::HEAD_WORDS`] of them.
pub struct Record<'a>(pub &'a [u32]);

impl Record<'_> {
    /// The tokens chosen after the first `known`.
    pub fn tokens(&self, known: usize) -> Vec<u32> {
        (known..self.0[state::N_CHOSEN] as usize).map(|n| self.0[RING_AT + n % RING]).collect()
    }

    /// Rows of the draft's cache that are of use.
    pub fn draft_len(&self) -> usize {
        self.0[state::DRAFT_LEN] as usize
    }

    /// Tokens of context that the last round's looked-up chain had matched.
    pub fn matched(&self) -> usize {
        self.0[state::REC_MATCH] as usize
    }

    /// The last round; `None`: it had nothing to do.
    pub fn round(&self, index: usize, mode: RoundMode, emitted: &[u32]) -> Option<Round> {
        let words = self.0;
        let n_nodes = (words[state::REC_NODES] as usize).min(MAX_ROWS);
        if n_nodes == 0 {
            return None;
        }
        let node = |row: usize| {
            let info = words[state::REC_INFO + row];
            RoundNode {
                token: words[state::REC_TOKEN + row],
                parent: (row > 0).then_some((info & 0xff) as usize),
                depth: (info >> 8 & 0xff) as usize,
                log_prob: if row == 0 { 0.0 } else { f32::from_bits(words[state::REC_LOGP + row]) },
                origin: match info >> 16 {
                    _ if row == 0 => NodeOrigin::Root,
                    state::ORIGIN_LOOKUP => NodeOrigin::Lookup,
                    rank => NodeOrigin::Draft { rank: rank as usize },
                },
            }
        };
        let grown = (words[state::REC_GROWN] as usize).clamp(n_nodes, MAX_ROWS);
        let accepted = (words[state::N_ACCEPTED] as usize).min(MAX_ROWS - 1);
        Some(Round {
            index,
            position: words[state::REC_BASE] as usize,
            nodes: (0..n_nodes).map(node).collect(),
            pruned: (n_nodes..grown).map(node).collect(),
            path: (0..=accepted).map(|k| (words[state::PATH + k] & 0xff) as usize).collect(),
            emitted: emitted.to_vec(),
            mode,
        })
    }
}

/// A plain step as a round: the root, and what the target chose after it.
pub fn plain_round(index: usize, position: usize, root: u32, token: u32) -> Round {
    let root = RoundNode { token: root, parent: None, depth: 0, log_prob: 0.0, origin: NodeOrigin::Root };
    let (nodes, pruned) = (vec![root], vec![]);
    Round { index, position, nodes, pruned, path: vec![0], emitted: vec![token], mode: RoundMode::Plain }
}
