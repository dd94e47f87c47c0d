//! Where the rows of a pass lie: at consecutive positions, or on a tree whose paths share the positions after those in
//! the cache.

/// Rows of a pass.
#[derive(Clone, Copy, Debug)]
pub struct Positions<'a> {
    /// rows in the KV cache before this pass; plain: the position and slot of row 0
    pub base: usize,
    pub tree: Option<Tree<'a>>,
}

/// A tree of which the pass computes the rows from `row0` on. `paths[t]` are the rows on the way from the root to
/// row t, both included: row t lies at position `base + paths[t].len() - 1`, in slot `base + t`.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    pub row0: usize,
    pub paths: &'a [Vec<usize>],
}

impl Positions<'_> {
    /// Consecutive rows from `base` on.
    pub fn plain(base: usize) -> Self {
        Self { base, tree: None }
    }

    /// The position of row `m` of the pass.
    pub fn position(&self, m: usize) -> usize {
        match self.tree {
            None => self.base + m,
            Some(tree) => self.base + tree.paths[tree.row0 + m].len() - 1,
        }
    }

    /// The slot in which row `m` finds position `position`, at most its own.
    pub fn slot(&self, m: usize, position: usize) -> usize {
        match self.tree {
            Some(tree) if position >= self.base => self.base + tree.paths[tree.row0 + m][position - self.base],
            _ => position,
        }
    }
}
