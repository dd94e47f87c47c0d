//! Whether speculation is lossless on this device: rows of a tree must have the bits of plain decoding.

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Lossless, NodeOrigin, Result};
use understory_speculation::tree::DraftTree;

use super::learning::DOING;
use crate::forward::{Forward, Tail, TreeSupport};
use crate::gpu::{Gpu, Staging};
use crate::kernels::state;

/// Tokens of the path.
pub(super) const PATH: usize = 4;
/// Trees of these sizes are compared: every way in which the products take rows together.
const TEST_ROWS: [usize; 6] = [1, 2, 3, 5, 8, 9];

/// The comparison of the logits of a path in trees of every size with those of plain steps, bit for bit: a pass at a time.
pub(super) struct SelfTest {
    /// plain steps go through the trees' pipelines
    shared: bool,
    /// of the path's rows so far
    plain: Vec<Vec<f32>>,
    /// sizes of trees that had the same bits
    equal: usize,
    staging: Staging,
}

impl SelfTest {
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`].
    pub(super) async fn new(gpu: &Gpu, target: &Forward) -> Result<Self> {
        let rows = TEST_ROWS[TEST_ROWS.len() - 1];
        let staging = Staging::new(gpu, logits_bytes(target, rows)).await?;
        Ok(Self { shared: false, plain: Vec::new(), equal: 0, staging })
    }

    /// Runs the next pass, over trees of up to `tree_rows` rows from position `base` on; what was found, once it is. The
    /// KV cache of `target` must be as the last step left it.
    ///
    /// # Errors
    /// [`understory_protocol::Error::DeviceLost`].
    pub(super) async fn step(
        &mut self,
        gpu: &Gpu,
        (target, trees): (&mut Forward, &TreeSupport),
        tree_rows: usize,
        base: usize,
    ) -> Result<Option<Lossless>> {
        let vocab = target.config.vocab_size;
        let path: Vec<u32> = (0..PATH as u32).map(|i| (i * 7919 + 12) % vocab as u32).collect();
        if let Some(&token) = path.get(self.plain.len()) {
            let of_row = self.plain_row(gpu, (target, trees), token, base + self.plain.len()).await?;
            self.plain.push(of_row);
            return Ok(None);
        }
        let mut sizes = TEST_ROWS.into_iter().filter(|&rows| rows <= tree_rows).skip(self.equal);
        if let Some(rows) = sizes.next() {
            let (tree, on_path) = test_tree(&path, rows, vocab);
            target.set_tree(gpu, &tree, base);
            let (encoder, _) = gpu.encode_pass(|pass| target.record_tree(trees, pass, rows, base + PATH + MAX_ROWS));
            let bytes = logits_bytes(target, rows);
            let logits = self.staging.read_floats(gpu, DOING, encoder, &trees.logits().logits, bytes).await?;
            let same = on_path.iter().zip(&self.plain).all(|(&row, plain)| {
                let of_row = &logits[row * vocab..(row + 1) * vocab];
                of_row.iter().zip(plain).all(|(a, b)| a.to_bits() == b.to_bits())
            });
            if !same {
                return Ok(self.differs());
            }
            self.equal += 1;
        }
        let verdict = if self.shared { Lossless::SharedPipeline } else { Lossless::Verified };
        Ok(sizes.next().is_none().then_some(verdict))
    }

    /// The logits of a plain step.
    async fn plain_row(
        &mut self,
        gpu: &Gpu,
        (target, trees): (&mut Forward, &TreeSupport),
        token: u32,
        position: usize,
    ) -> Result<Vec<f32>> {
        target.set_rows(gpu, &[token], position);
        // A single row through the trees' pipelines is the root of a tree.
        target.set_words(gpu, state::ROW0, &[0]);
        let own = std::mem::replace(&mut target.shared_pipeline, self.shared);
        let (encoder, _) = gpu.encode_pass(|pass| target.record(pass, 1, position, &Tail::AllLogits(trees.logits())));
        target.shared_pipeline = own;
        self.staging.read_floats(gpu, DOING, encoder, &trees.logits().logits, logits_bytes(target, 1)).await
    }

    /// Begins anew with shared pipelines, or ends where that was it.
    fn differs(&mut self) -> Option<Lossless> {
        tracing::warn!(shared = self.shared, "rows of a tree have other bits than plain decoding on this device");
        if self.shared {
            return Some(Lossless::Off);
        }
        self.shared = true;
        self.plain.clear();
        self.equal = 0;
        None
    }
}

fn logits_bytes(target: &Forward, rows: usize) -> u64 {
    (rows * target.config.vocab_size * 4) as u64
}

/// A tree of `rows` rows that holds as much of `path` as fits, its nodes spread among others; the rows of the path.
fn test_tree(path: &[u32], rows: usize, vocab: usize) -> (DraftTree, Vec<usize>) {
    let mut tree = DraftTree::new(path[0]);
    let mut on_path = vec![0];
    while tree.rows().len() < rows {
        let row = tree.rows().len();
        let left = path.len() - on_path.len();
        // The path takes its next step where its share of the rows begins, or where only its own rows are left.
        let due = left > 0 && (row * path.len() / rows >= on_path.len() || rows - row <= left);
        let (parent, token) = match due {
            true => (on_path[on_path.len() - 1], path[on_path.len()]),
            false => (row / 2, (row * 104_729 % vocab) as u32),
        };
        // A sibling may hold the same token: any other serves as well.
        let added = (0..vocab as u32)
            .find_map(|i| tree.push(parent, (token + i) % vocab as u32, -1.0, NodeOrigin::Draft { rank: 1 }).ok());
        match added {
            Some(added) if due && tree.rows()[added].token == token => on_path.push(added),
            Some(_) => {}
            None => break,
        }
    }
    (tree, on_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_trees_hold_the_path() {
        for rows in TEST_ROWS {
            let (tree, on_path) = test_tree(&[5, 6, 7, 8], rows, 100);
            assert_eq!(tree.rows().len(), rows);
            assert_eq!(on_path.len(), rows.min(4), "{rows} rows");
            let last = *on_path.last().expect("the root at least");
            assert_eq!(tree.ancestors(last), on_path);
            for (i, &row) in on_path.iter().enumerate() {
                assert_eq!(tree.rows()[row].token, 5 + i as u32);
            }
        }
    }
}
