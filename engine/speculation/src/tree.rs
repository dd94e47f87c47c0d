//! The tree of one round as data: the root (the last token of the text) and the guesses after it.
//!
//! What it never does: decide what to guess or what to keep. Token trees that a target verifies in one pass are
//! SpecInfer's (Miao et al., 2024). The tables have the layout of the device's state (`shaders/kernels/lib/state.wesl`).

use std::fmt;

use understory_protocol::method::MAX_ROWS;

use understory_protocol::{NodeOrigin, RoundNode};

/// Words of one row of [`DraftTree::ancestor_table`].
pub const ANCESTOR_WORDS: usize = 20;

/// Rows in the order in which they were added: row 0 is the root, a parent comes before its children, and no two
/// children of a row hold the same token. Depths need not ascend: a looked-up chain may come before drafted nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftTree {
    rows: Vec<RoundNode>,
}

/// Why a node cannot join a tree, or something is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// there are [`MAX_ROWS`] rows already
    Full,
    NoSuchParent {
        parent: usize,
        rows: usize,
    },
    /// `row` is a child of the same parent and holds the same token
    SameToken {
        token: u32,
        row: usize,
    },
    /// the first row is not a root, or another one is
    Root {
        row: usize,
    },
    /// a row's depth is not its parent's plus one
    Depth {
        row: usize,
        depth: usize,
        expected: usize,
    },
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "a tree holds at most {MAX_ROWS} rows"),
            Self::NoSuchParent { parent, rows } => {
                write!(f, "parent {parent} does not exist: the tree has {rows} rows")
            }
            Self::SameToken { token, row } => write!(f, "row {row} is a sibling with the same token, {token}"),
            Self::Root { row } => write!(f, "row {row}: row 0, and no other, is the root"),
            Self::Depth { row, depth, expected } => write!(f, "row {row} has depth {depth}, expected {expected}"),
        }
    }
}

impl std::error::Error for TreeError {}

impl DraftTree {
    /// The root alone.
    pub fn new(root: u32) -> Self {
        let root = RoundNode { token: root, parent: None, depth: 0, log_prob: 0.0, origin: NodeOrigin::Root };
        Self { rows: vec![root] }
    }

    /// The tree of rows that come from elsewhere.
    ///
    /// # Errors
    /// The first row that breaks a rule of [`DraftTree`].
    pub fn from_rows(rows: &[RoundNode]) -> Result<Self, TreeError> {
        let root = rows.first().filter(|r| is_root(r)).ok_or(TreeError::Root { row: 0 })?;
        let mut tree = Self { rows: vec![root.clone()] };
        for (row, node) in rows.iter().enumerate().skip(1) {
            let parent = node.parent.filter(|_| node.origin != NodeOrigin::Root).ok_or(TreeError::Root { row })?;
            tree.push(parent, node.token, node.log_prob, node.origin)?;
            let expected = tree.rows[row].depth;
            if node.depth != expected {
                return Err(TreeError::Depth { row, depth: node.depth, expected });
            }
        }
        Ok(tree)
    }

    /// Adds a child of `parent` and returns its row. `log_prob` is the path's.
    ///
    /// # Errors
    /// Where the tree is full, `parent` does not exist, or has a child with this token.
    pub fn push(&mut self, parent: usize, token: u32, log_prob: f32, origin: NodeOrigin) -> Result<usize, TreeError> {
        let row = self.rows.len();
        if row == MAX_ROWS {
            return Err(TreeError::Full);
        }
        let depth = self.rows.get(parent).ok_or(TreeError::NoSuchParent { parent, rows: row })?.depth + 1;
        if let Some(row) = self.child(parent, token) {
            return Err(TreeError::SameToken { token, row });
        }
        self.rows.push(RoundNode { token, parent: Some(parent), depth, log_prob, origin });
        Ok(row)
    }

    /// Adds a looked-up chain below the root, as far as the tree has room. `log_prob` is that of one token.
    pub fn push_lookup(&mut self, tokens: &[u32], log_prob: f32) {
        let mut parent = 0;
        for (i, &token) in tokens.iter().enumerate() {
            // Full, or a child that is there already: the rest of the chain is left out.
            match self.push(parent, token, (i + 1) as f32 * log_prob, NodeOrigin::Lookup) {
                Ok(row) => parent = row,
                Err(_) => break,
            }
        }
    }

    /// All rows, the root first.
    pub fn rows(&self) -> &[RoundNode] {
        &self.rows
    }

    /// Rows without the root.
    pub fn n_nodes(&self) -> usize {
        self.rows.len() - 1
    }

    /// The largest depth; 0 for the root alone.
    pub fn depth(&self) -> usize {
        self.rows.iter().map(|r| r.depth).max().unwrap_or(0)
    }

    /// The child of `row` that holds `token`.
    pub fn child(&self, row: usize, token: u32) -> Option<usize> {
        self.rows.iter().position(|r| r.parent == Some(row) && r.token == token)
    }

    /// The path from the root to `row`, both included: entry d has depth d. Empty where there is no such row.
    pub fn ancestors(&self, row: usize) -> Vec<usize> {
        let mut path: Vec<_> =
            std::iter::successors(self.rows.get(row).map(|_| row), |&r| self.rows[r].parent).collect();
        path.reverse();
        path
    }

    /// [`ANCESTOR_WORDS`] words a row, four entries of 8 bits a word, the lowest bits first: entry d is the row's
    /// ancestor at depth d (the row itself at its own depth), 0 beyond.
    pub fn ancestor_table(&self) -> Vec<u32> {
        let mut table = vec![0; self.rows.len() * ANCESTOR_WORDS];
        for (row, words) in table.chunks_exact_mut(ANCESTOR_WORDS).enumerate() {
            for (depth, ancestor) in self.ancestors(row).into_iter().enumerate() {
                words[depth / 4] |= (ancestor as u32) << (8 * (depth % 4));
            }
        }
        table
    }

    /// Makes a node's path at least this likely.
    pub(super) fn raise(&mut self, row: usize, log_prob: f32) {
        let node = &mut self.rows[row];
        node.log_prob = node.log_prob.max(log_prob);
    }
}

fn is_root(row: &RoundNode) -> bool {
    row.parent.is_none() && row.depth == 0 && row.origin == NodeOrigin::Root
}

#[cfg(test)]
mod tests {
    use super::*;
    use understory_protocol::method::MAX_NODES;

    const RANK_1: NodeOrigin = NodeOrigin::Draft { rank: 1 };

    #[test]
    fn what_is_no_tree_is_refused() {
        let mut tree = DraftTree::new(5);
        assert_eq!(tree.push(1, 7, 0.0, RANK_1), Err(TreeError::NoSuchParent { parent: 1, rows: 1 }));
        assert_eq!(tree.push(0, 7, 0.0, RANK_1), Ok(1));
        assert_eq!(tree.push(0, 7, 0.0, RANK_1), Err(TreeError::SameToken { token: 7, row: 1 }));
        // The same token below another parent is another node.
        assert_eq!(tree.push(1, 7, 0.0, RANK_1), Ok(2));
        while tree.rows().len() < MAX_ROWS {
            tree.push(0, 100 + tree.rows().len() as u32, 0.0, RANK_1).unwrap();
        }
        assert_eq!(tree.push(0, 9, 0.0, RANK_1), Err(TreeError::Full));

        let good = tree.rows().to_vec();
        assert_eq!(DraftTree::from_rows(&good), Ok(tree));
        let with = |row: usize, change: fn(&mut RoundNode)| {
            let mut rows = good.clone();
            change(&mut rows[row]);
            DraftTree::from_rows(&rows)
        };
        assert_eq!(with(2, |r| r.depth = 1), Err(TreeError::Depth { row: 2, depth: 1, expected: 2 }));
        assert_eq!(with(2, |r| r.parent = Some(2)), Err(TreeError::NoSuchParent { parent: 2, rows: 2 }));
        assert_eq!(with(2, |r| r.parent = None), Err(TreeError::Root { row: 2 }));
        assert_eq!(with(0, |r| r.depth = 1), Err(TreeError::Root { row: 0 }));
        assert_eq!(DraftTree::from_rows(&[]), Err(TreeError::Root { row: 0 }));
    }

    #[test]
    fn a_looked_up_chain_ends_where_the_tree_does() {
        let mut tree = DraftTree::new(1);
        tree.push_lookup(&[2; 100], -0.5);
        assert_eq!(tree.rows().len(), MAX_ROWS);
        assert_eq!(tree.rows()[3].log_prob, -1.5);
        assert_eq!(tree.depth(), MAX_NODES);
        assert_eq!(tree.ancestors(MAX_NODES), (0..MAX_ROWS).collect::<Vec<_>>());
        assert!(tree.ancestors(MAX_ROWS).is_empty());
    }
}
