//! What this device is measured for before it speculates: whether rows of a tree have the bits of plain decoding, and
//! what passes cost.

use web_time::Instant;

use super::speculator::Speculator;
use super::tree::{ANCESTOR_WORDS, DraftTree, MAX_ROWS};
use crate::Result;
use crate::forward::{Forward, Tail};
use crate::gpu::{Gpu, Staging};
use crate::kernels::state;
use crate::protocol::{Costs, Lossless, NodeOrigin};
use crate::sampling::Sampling;

const DOING: &str = "measuring the device";
/// Tokens of the self-test's path.
const PATH: usize = 4;
/// Trees of these sizes are compared: every way in which the products take rows together.
const TEST_ROWS: [usize; 6] = [1, 2, 3, 5, 8, 9];
/// Sizes whose costs are measured, as far as the time goes.
const COST_ROWS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Keys before the rows that are compared and measured: what a text of some length has, since every row pays for them
/// again. The path crosses the 256 at which attention splits.
const CONTEXT: usize = 254;
/// Time for both, in milliseconds, after which no further measurement begins.
const BUDGET_MS: f64 = 150.0;

/// Checks and measures `target`, with the draft of `speculator` if it has one. Leaves `target` in the mode that is
/// lossless, and the caches empty.
///
/// # Errors
/// [`crate::Error::DeviceLost`], [`crate::Error::OutOfDeviceMemory`].
pub async fn measure(gpu: &Gpu, target: &mut Forward, speculator: &mut Speculator) -> Result<Costs> {
    let start = Instant::now();
    let elapsed_ms = || start.elapsed().as_secs_f64() * 1e3;
    let base = CONTEXT.min(target.config.max_position_embeddings.saturating_sub(PATH + 2));
    let positions = base + PATH + MAX_ROWS;
    target.reserve(gpu, positions).await?;
    target.cache.tokens.clear();
    if let Some(draft) = &mut speculator.draft {
        draft.forward.reserve(gpu, positions).await?;
        draft.forward.cache.tokens.clear();
    }
    let tree_rows = speculator.tree_rows(target, positions);
    warm_up(gpu, target, speculator, tree_rows, positions).await?;
    let lossless = self_test(gpu, target, tree_rows, base).await?;
    target.shared_pipeline = lossless == Lossless::SharedPipeline;

    target.begin(gpu, &[0], positions, 0);
    let (mut plain_ms, mut fixed_ms) = (f64::INFINITY, f64::INFINITY);
    let (mut verify_ms, mut draft_ms) = (Vec::new(), Vec::new());
    let sizes: Vec<usize> = COST_ROWS.iter().copied().filter(|&rows| rows <= tree_rows).collect();
    'measuring: for repeat in 0.. {
        for &rows in &sizes {
            // The large ones once, at the end of the first turn.
            if repeat > 0 && (elapsed_ms() > BUDGET_MS || (rows > 16 && repeat > 1)) {
                break 'measuring;
            }
            if rows > 16 && elapsed_ms() > BUDGET_MS / 2.0 {
                continue;
            }
            // What all is compared with is measured beside each.
            plain_ms = plain_ms.min(time(gpu, || plain_step(gpu, target, base)).await?);
            if rows == 1 {
                // With what a submission costs.
                fixed_ms = fixed_ms.min(time(gpu, || speculator.submit_accept(gpu, target, base)).await?);
            }
            let ms = time(gpu, || speculator.submit_verification(gpu, target, rows, base)).await?;
            keep_least(&mut verify_ms, rows, ms);
            if let Some(draft) = speculator.draft.as_ref().filter(|_| rows <= 16) {
                let ms = time(gpu, || draft.submit_level(gpu, target, rows, base)).await?;
                keep_least(&mut draft_ms, rows, ms);
            }
        }
        if repeat > 8 {
            break;
        }
    }
    target.begin(gpu, &[0], 1, 0);
    never_dearer_with_fewer(&mut verify_ms);
    never_dearer_with_fewer(&mut draft_ms);
    let plain_ms = verify_ms.first().map_or(plain_ms, |one_row| plain_ms.min(one_row.1));
    Ok(Costs { plain_ms, fixed_ms, verify_ms, draft_ms, lossless, took_ms: elapsed_ms() })
}

fn keep_least(points: &mut Vec<(usize, f64)>, rows: usize, ms: f64) {
    match points.iter_mut().find(|p| p.0 == rows) {
        Some(point) => point.1 = point.1.min(ms),
        None => points.push((rows, ms)),
    }
}

/// Fewer rows never cost more: where it was measured so, something else was running.
fn never_dearer_with_fewer(points: &mut [(usize, f64)]) {
    for i in (1..points.len()).rev() {
        points[i - 1].1 = points[i - 1].1.min(points[i].1);
    }
}

/// Milliseconds from the submission to its end.
async fn time(gpu: &Gpu, submit: impl FnOnce()) -> Result<f64> {
    let start = Instant::now();
    submit();
    gpu.wait(DOING).await?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn plain_step(gpu: &Gpu, target: &Forward, base: usize) {
    target.set_rows(gpu, &[0], base);
    let choice = target.sampler.choice(&Sampling::default());
    gpu.submit_pass(|pass| target.record(pass, 1, base, &Tail::Sample(choice)));
}

/// Runs every pipeline of a round once with no rows: drivers that compile at the first dispatch do it here.
async fn warm_up(
    gpu: &Gpu,
    target: &Forward,
    speculator: &mut Speculator,
    tree_rows: usize,
    positions: usize,
) -> Result<()> {
    target.begin(gpu, &[0], 1, 0);
    target.set_rows(gpu, &[], 0);
    speculator.submit_empty_round(gpu, target, tree_rows, positions);
    gpu.wait(DOING).await
}

/// Compares the logits of a path in trees of every size with those of plain steps, bit for bit.
async fn self_test(gpu: &Gpu, target: &mut Forward, tree_rows: usize, base: usize) -> Result<Lossless> {
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
            let (encoder, _) = gpu.encode_pass(|pass| target.record(pass, 1, base + i, &Tail::AllLogits));
            plain.push(staging.read_floats(gpu, DOING, encoder, target.all_logits(), bytes(1)).await?);
        }
        let mut equal = true;
        for rows in TEST_ROWS.into_iter().filter(|&rows| rows <= tree_rows) {
            let (tree, on_path) = test_tree(&path, rows, vocab);
            target.set_tree(gpu, &tree, base);
            let (encoder, _) = gpu.encode_pass(|pass| target.record_tree(pass, rows, base + PATH + MAX_ROWS));
            let logits = staging.read_floats(gpu, DOING, encoder, target.all_logits(), bytes(rows)).await?;
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

impl Forward {
    /// Writes `tree` as the rows of the next tree pass, its root at position `base`.
    pub fn set_tree(&self, gpu: &Gpu, tree: &DraftTree, base: usize) {
        let rows = tree.rows();
        let column = |of: &dyn Fn(usize) -> u32| (0..rows.len()).map(of).collect::<Vec<_>>();
        let tokens = column(&|r| rows[r].token);
        self.set_rows(gpu, &tokens, base);
        self.set_words(gpu, state::ROW0, &[0]);
        self.set_words(gpu, state::N_NODES, &[rows.len() as u32]);
        self.set_words(gpu, state::TOKEN, &tokens);
        self.set_words(gpu, state::PARENT, &column(&|r| rows[r].parent.map_or(state::NO_ROW, |p| p as u32)));
        self.set_words(gpu, state::DEPTH, &column(&|r| rows[r].depth as u32));
        let table = tree.ancestor_table();
        debug_assert_eq!(table.len(), rows.len() * ANCESTOR_WORDS);
        self.set_words(gpu, state::ANCESTORS, &table);
    }
}

/// A root and `rows - 1` children.
pub(super) fn star(rows: usize) -> DraftTree {
    let mut tree = DraftTree::new(0);
    for token in 1..rows as u32 {
        let added = tree.push(0, token, -1.0, NodeOrigin::Draft { rank: 1 });
        debug_assert!(added.is_ok(), "a star of up to 64 rows is a tree");
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_measurement_yields_to_a_larger_one() {
        let mut points = vec![(1, 5.0), (2, 9.0), (4, 6.0), (8, 7.0)];
        never_dearer_with_fewer(&mut points);
        assert_eq!(points, [(1, 5.0), (2, 6.0), (4, 6.0), (8, 7.0)]);
    }

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
