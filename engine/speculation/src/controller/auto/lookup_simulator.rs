//! What lookup would have given, learnt without running it: while the text is decoded plainly, chains are looked up on
//! the host and compared with what comes.

use understory_protocol::{NodeOrigin, RoundNode};

use crate::lookup::{LookupRule, lookup};

/// The text that is searched: the last tokens of it, so that a long one costs no time.
const REACH: usize = 4096;

/// The text so far, and the chain that is compared with it.
#[derive(Debug, Default)]
pub(super) struct LookupSimulator {
    text: Vec<u32>,
    chain: Option<Chain>,
}

#[derive(Debug)]
struct Chain {
    root: u32,
    tokens: Vec<u32>,
    matched: usize,
    accepted: usize,
}

/// A round of lookup that did not happen.
#[derive(Debug, PartialEq)]
pub(super) struct Imagined {
    pub nodes: Vec<RoundNode>,
    pub path: Vec<usize>,
    pub matched: usize,
}

impl LookupSimulator {
    pub fn begin(&mut self, prompt: &[u32]) {
        self.text = prompt.to_vec();
        self.chain = None;
    }

    /// Tokens that came by another way than plain decoding.
    pub fn extend(&mut self, tokens: &[u32]) {
        self.text.extend(tokens);
        self.chain = None;
    }

    /// A token that was decoded plainly; the round of lookup that would have ended with it.
    pub fn observe(&mut self, token: u32, rule: &LookupRule) -> Option<Imagined> {
        let chain = self.chain.take().unwrap_or_else(|| self.look_up(rule));
        self.text.push(token);
        match chain.tokens.get(chain.accepted) {
            Some(&next) if next == token => {
                self.chain = Some(Chain { accepted: chain.accepted + 1, ..chain });
                None
            }
            _ => Some(chain.ended()),
        }
    }

    fn look_up(&self, rule: &LookupRule) -> Chain {
        let (matched, tokens) = lookup(&self.text[self.text.len().saturating_sub(REACH)..], rule);
        Chain { root: self.text.last().copied().unwrap_or(0), tokens, matched, accepted: 0 }
    }
}

impl Chain {
    fn ended(self) -> Imagined {
        let root = RoundNode { token: self.root, parent: None, depth: 0, log_prob: 0.0, origin: NodeOrigin::Root };
        let node = |(i, &token): (usize, &u32)| RoundNode {
            token,
            parent: Some(i),
            depth: i + 1,
            log_prob: 0.0,
            origin: NodeOrigin::Lookup,
        };
        let nodes = std::iter::once(root).chain(self.tokens.iter().enumerate().map(node)).collect();
        Imagined { nodes, path: (0..=self.accepted).collect(), matched: self.matched }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail here: the chain looked up anew at every token.
    #[test]
    fn rounds_are_those_that_lookup_would_have_run() {
        let rule = LookupRule { max_match: 3, min_match: 2, tokens: 3 };
        let mut shadow = LookupSimulator::default();
        shadow.begin(&[1, 2, 3, 4, 5, 9, 1, 2]);
        // 3 4 5 follow: all accepted, and 7 would have been the bonus token.
        assert_eq!(shadow.observe(3, &rule), None);
        assert_eq!(shadow.observe(4, &rule), None);
        assert_eq!(shadow.observe(5, &rule), None);
        let round = shadow.observe(7, &rule).expect("it ended");
        assert_eq!((round.matched, round.path.len(), round.nodes.len()), (2, 4, 4));
        // Nothing matches 5 7.
        let round = shadow.observe(1, &rule).expect("it ended");
        assert_eq!((round.matched, round.path.len(), round.nodes.len()), (0, 1, 1));
        shadow.extend(&[2]);
        assert_eq!(shadow.observe(3, &rule), None);
        assert_eq!(shadow.observe(8, &rule).expect("it ended").path.len(), 2);
    }
}
