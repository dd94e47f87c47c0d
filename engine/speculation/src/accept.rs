//! The walk that turns the target's choices into text. The kernel `accept` does the same on the device; this is what
//! it is tested against.
//!
//! The target's choice at a row depends on the row's path, its position and the seed (see `sampling`), not on the tree.
//! So walking down while a child holds the choice gives what decoding one by one gives: the greedy rule of the
//! speculative papers (Leviathan et al., 2023; Chen et al., 2023; SpecInfer's tree), and above temperature 0 too,
//! where those papers accept at random and keep the distribution only.

use std::fmt;

use super::tree::DraftTree;

/// What a round gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// rows of the accepted path, the root first
    pub path: Vec<usize>,
    /// the path's tokens without the root's, then the target's own (the bonus token)
    pub emitted: Vec<u32>,
}

/// The number of choices is not the tree's number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongChoices {
    pub choices: usize,
    pub rows: usize,
}

impl fmt::Display for WrongChoices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} choices for a tree of {} rows: one a row is expected", self.choices, self.rows)
    }
}

impl std::error::Error for WrongChoices {}

/// Walks `tree` from the root, given the target's choice after each row.
///
/// # Errors
/// Where `choices` are not one a row.
pub fn accept(tree: &DraftTree, choices: &[u32]) -> Result<Accepted, WrongChoices> {
    let rows = tree.rows().len();
    if choices.len() != rows {
        return Err(WrongChoices { choices: choices.len(), rows });
    }
    let path: Vec<usize> = std::iter::successors(Some(0), |&row| tree.child(row, choices[row])).collect();
    let emitted = path.iter().map(|&row| choices[row]).collect();
    Ok(Accepted { path, emitted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use understory_protocol::NodeOrigin;

    #[test]
    fn the_walk_ends_at_the_first_row_without_the_choice() {
        let mut tree = DraftTree::new(0);
        let origin = NodeOrigin::Draft { rank: 1 };
        for (parent, token) in [(0, 5), (0, 6), (1, 5), (2, 5)] {
            tree.push(parent, token, 0.0, origin).unwrap();
        }
        let accepted = accept(&tree, &[6, 0, 5, 0, 9]).unwrap();
        assert_eq!(accepted, Accepted { path: vec![0, 2, 4], emitted: vec![6, 5, 9] });
        assert_eq!(accept(&tree, &[7, 0, 5, 0, 9]).unwrap(), Accepted { path: vec![0], emitted: vec![7] });
        assert_eq!(accept(&tree, &[6]), Err(WrongChoices { choices: 1, rows: 5 }));
    }
}
