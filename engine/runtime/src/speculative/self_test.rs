//! Whether speculation is lossless on this device: rows of a tree must have the bits of plain decoding.

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{Lossless, NodeOrigin, Result};
use understory_speculation::tree::DraftTree;

use super::measure::DOING;
use crate::forward::{Forward, Tail, TreeSupport};
use crate::gpu::{Gpu, Staging};
use crate::kernels::state;

/// Tokens of the path.
pub(super) const PATH: usize = 4;
/// Trees of these sizes are compared: every way in which the products take rows together.
const TEST_ROWS: [usize; 6] = [1, 2, 3, 5, 8, 9];

/// Compares the logits of a path in trees of every size, up to `tree_rows` rows, with those of plain steps from position
/// `base` on, bit for bit.
///
/// # Errors
/// [`understory_protocol::Error::DeviceLost`], [`understory_protocol::Error::OutOfDeviceMemory`].
pub(super) async fn self_test(
    gpu: &Gpu,
    (target, trees): (&mut Forward, &TreeSupport),
    tree_rows: usize,
    base: usize,
) -> Result<Lossless> {
    let vocab = target.config.vocab_size;
    let bytes = |rows: usize| (rows * vocab * 4) as u64;
    let mut staging = Staging::new(gpu, bytes(MAX_ROWS.min(16))).await?;
    let path: Vec<u32> = (0..PATH as u32).map(|i| (i * 7919 + 12) % vocab as u32).collect();
    for shared in [false, true] {
        target.shared_pipeline = shared;
        let mut plain = Vec::new();
        for (i, &token) in path.iter().enumerate() {
            target.set_rows(gpu, &[token], base + i);
            // A single row through the trees' pipelines is the root of a tree.
            target.set_words(gpu, state::ROW0, &[0]);
            let (encoder, _) =
                gpu.encode_pass(|pass| target.record(pass, 1, base + i, &Tail::AllLogits(trees.logits())));
            plain.push(staging.read_floats(gpu, DOING, encoder, &trees.logits().logits, bytes(1)).await?);
        }
        let mut equal = true;
        for rows in TEST_ROWS.into_iter().filter(|&rows| rows <= tree_rows) {
            let (tree, on_path) = test_tree(&path, rows, vocab);
            target.set_tree(gpu, &tree, base);
            let (encoder, _) = gpu.encode_pass(|pass| target.record_tree(trees, pass, rows, base + PATH + MAX_ROWS));
            let logits = staging.read_floats(gpu, DOING, encoder, &trees.logits().logits, bytes(rows)).await?;
            for (depth, &row) in on_path.iter().enumerate() {
                let of_row = &logits[row * vocab..(row + 1) * vocab];
                equal &= of_row.iter().zip(&plain[depth]).all(|(a, b)| a.to_bits() == b.to_bits());
            }
        }
        if equal {
            return Ok(if shared { Lossless::SharedPipeline } else { Lossless::Verified });
        }
        tracing::warn!(shared, "rows of a tree have other bits than plain decoding on this device");
    }
    Ok(Lossless::Off)
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
