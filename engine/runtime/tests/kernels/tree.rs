//! Random trees, as the state buffer holds them.

use understory_runtime::gpu::Buffer;
use understory_runtime::kernels::state::{ANCESTOR_WORDS, ANCESTORS, DEPTH, STATE_WORDS, TREE_ROWS};

use crate::device::Device;
use crate::random::Random;
use crate::reference::{Positions, Tree};

/// The rows from `row0` on of a tree over a cache of `base` rows.
#[derive(Debug)]
pub struct TreePass {
    pub base: usize,
    pub row0: usize,
    /// for each row of the tree the rows from the root to it
    pub paths: Vec<Vec<usize>>,
}

impl TreePass {
    /// A tree of `n` rows that begins with a chain of `chain` rows, and a pass over some last rows of it.
    pub fn new(random: &mut Random, base: usize, n: usize, chain: usize) -> Self {
        let mut paths = vec![vec![0]];
        // Parents near the end of the tree make it deep, any parents make it wide.
        let reach = random.pick(&[2, 5, TREE_ROWS]);
        for t in 1..n {
            let parent = if t < chain { t - 1 } else { t - 1 - random.below(t.min(reach)) };
            let path = [paths[parent].as_slice(), &[t]].concat();
            paths.push(path);
        }
        let row0 = if random.below(2) == 0 { n.saturating_sub(64) } else { random.below(n).max(n.saturating_sub(64)) };
        Self { base, row0, paths }
    }

    pub fn rows(&self) -> usize {
        self.paths.len() - self.row0
    }

    pub fn positions(&self) -> Positions<'_> {
        Positions { base: self.base, tree: Some(Tree { row0: self.row0, paths: &self.paths }) }
    }

    pub fn what(&self) -> String {
        format!("tree rows {} .. {} at {}", self.row0, self.paths.len(), self.base)
    }
}

impl Device {
    /// The state of a tree pass; what a pass has no business to read is out of any buffer's range.
    pub fn tree_state(&self, tree: &TreePass) -> Buffer {
        let mut state = vec![0xffff_ff00u32; STATE_WORDS];
        state[..5].copy_from_slice(&[tree.rows() as u32, tree.base as u32, 0, 0, tree.row0 as u32]);
        for (t, path) in tree.paths.iter().enumerate() {
            state[DEPTH + t] = path.len() as u32 - 1;
            for (words, rows) in state[ANCESTORS + t * ANCESTOR_WORDS..].iter_mut().zip(path.chunks(4)) {
                let bytes: [u8; 4] = std::array::from_fn(|i| rows.get(i).map_or(0xff, |&row| row as u8));
                *words = u32::from_le_bytes(bytes);
            }
        }
        self.buffer(&state)
    }
}
