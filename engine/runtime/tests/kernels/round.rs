//! Random rounds: trees as the state holds them, text that repeats itself, and what the logits' epilogue leaves.

use understory_protocol::{NodeOrigin, RoundNode};
use understory_runtime::kernels::state::*;
use understory_speculation::tree::DraftTree;

use crate::random::Random;

/// Where nothing was written lies what must not be used.
pub const UNUSED: u32 = 0xffff_fff0;

/// A tree of up to `rows` rows, some of them a looked-up chain; of few tokens it has fewer rows.
pub fn random_tree(random: &mut Random, root: u32, rows: usize, vocab: usize) -> DraftTree {
    let mut tree = DraftTree::new(root);
    if random.below(3) == 0 {
        let chain: Vec<u32> = (0..random.below(rows)).map(|_| random.below(vocab) as u32).collect();
        tree.push_lookup(&chain, -0.3);
    }
    // Parents near the end make a tree deep, any parents make it wide.
    let reach = random.pick(&[1, 1, 3, 64]);
    for _ in tree.rows().len()..rows {
        let n = tree.rows().len();
        let (parent, token) = (n - 1 - random.below(n.min(reach)), random.below(vocab) as u32);
        let origin = NodeOrigin::Draft { rank: 1 + random.below(4) };
        // A sibling with the same token: one row fewer.
        let _ = tree.push(parent, token, -random.value().abs(), origin);
    }
    tree
}

/// The tree's tables; `draft_rows` by row.
pub fn write_tree(state: &mut [u32], tree: &DraftTree, draft_rows: &[u32]) {
    for (row, node) in tree.rows().iter().enumerate() {
        state[TOKEN + row] = node.token;
        state[PARENT + row] = node.parent.map_or(NO_ROW, |p| p as u32);
        state[DEPTH + row] = node.depth as u32;
        state[LOGP + row] = node.log_prob.to_bits();
        state[ORIGIN + row] = node_origin(node);
        state[DRAFT_ROW + row] = draft_rows[row];
    }
    let table = tree.ancestor_table();
    state[ANCESTORS..ANCESTORS + table.len()].copy_from_slice(&table);
}

/// What the tree's tables hold as the path to `row`, which lies at `depth`.
pub fn ancestors(state: &[u32], row: usize, depth: usize) -> Vec<usize> {
    let words = &state[ANCESTORS + row * ANCESTOR_WORDS..];
    (0..=depth).map(|d| (words[d / 4] >> (d % 4 * 8) & 0xff) as usize).collect()
}

pub fn node_origin(node: &RoundNode) -> u32 {
    match node.origin {
        NodeOrigin::Root => 0,
        NodeOrigin::Lookup => ORIGIN_LOOKUP,
        NodeOrigin::Draft { rank } => rank as u32,
    }
}

/// Text of phrases that come again.
pub fn text(random: &mut Random, vocab: usize, n: usize) -> Vec<u32> {
    let phrases: Vec<Vec<u32>> =
        (0..3).map(|_| (0..1 + random.below(12)).map(|_| random.below(vocab) as u32).collect()).collect();
    std::iter::repeat_with(|| phrases[random.below(3)].clone()).flatten().take(n).collect()
}

/// What the logits' epilogue leaves for the blocks of a row.
pub fn block_maxima(logits: &[f32]) -> Vec<[u32; 2]> {
    let block = |(b, block): (usize, &[f32])| {
        let best = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let token = block.iter().position(|&v| v == best).map_or(NO_TOKEN, |i| (4 * b + i) as u32);
        [best.to_bits(), if block.iter().any(|v| v.is_nan() || *v == f32::INFINITY) { NO_TOKEN } else { token }]
    };
    logits.chunks(4).enumerate().map(block).collect()
}

/// Panics where a word differs, and shows the first ones.
pub fn assert_state(what: &str, got: &[u32], want: &[u32]) {
    let differ = got.iter().zip(want).enumerate().filter(|(_, (got, want))| got != want);
    let shown: Vec<_> = differ.map(|(word, (got, want))| (word, *got, *want)).take(8).collect();
    assert!(shown.is_empty() && got.len() == want.len(), "{what}: (word, got, expected) {shown:?}");
}
