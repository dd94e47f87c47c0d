//! `grow.wesl` against `speculation::grow` and `speculation::prune`: whole trees, level by level.

use understory_model::config::NormKind;
use understory_protocol::{KernelSet, NodeOrigin, RoundNode};
use understory_runtime::gpu::{Buffer, RowClass};
use understory_runtime::kernels::state::*;
use understory_runtime::kernels::{GrowParams, grow as dispatch};
use understory_speculation::grow::{Branch, GrowRule, grow};
use understory_speculation::prune::{Prune, Pruned, VerifyMs, prune};
use understory_speculation::tree::DraftTree;

use crate::device::Device;
use crate::random::Random;
use crate::round::{UNUSED, ancestors, write_tree};

const POSITION: u32 = 100;

/// The buffers of a round whose draft had `n_catch` rows to catch up with, the root included.
struct Round {
    state: Buffer,
    draft_state: Buffer,
    draft_tokens: Buffer,
    tokens: Buffer,
    n_catch: usize,
    /// the draft's rows by the row of the target's tree
    draft_rows: Vec<(usize, usize)>,
}

impl Round {
    /// `tree` holds the root and what was looked up.
    fn new(device: &Device, tree: &DraftTree, n_catch: usize, limit: u32) -> Self {
        let mut state = vec![UNUSED; STATE_WORDS];
        let mut draft = state.clone();
        write_tree(&mut state, tree, &[NO_ROW; 64]);
        let rows = tree.rows().len() as u32;
        for (word, value) in [
            (N_ROWS, 1),
            (BASE, POSITION),
            (LIMIT, limit),
            (N_NODES, rows),
            (N_LOOKUP, rows - 1),
            (DRAFT_ROWS, n_catch as u32),
            (N_CATCH, n_catch as u32),
            (DRAFT_ROW, n_catch as u32 - 1),
        ] {
            state[word] = value;
        }
        for (word, value) in [(N_ROWS, n_catch as u32), (ROW0, 0)] {
            draft[word] = value;
        }
        for row in 0..n_catch {
            draft[DEPTH + row] = row as u32;
            draft[PARENT + row] = if row + 1 == n_catch { 0 } else { NO_ROW };
            for d in 0..4 {
                draft[ANCESTORS + row * ANCESTOR_WORDS + d] = u32::from_le_bytes([0, 1, 2, 3].map(|i| i + 4 * d as u8));
            }
        }
        Self {
            state: device.buffer(&state),
            draft_state: device.buffer(&draft),
            draft_tokens: device.buffer(&[77u32; 64]),
            tokens: device.buffer(&[77u32; 64]),
            n_catch,
            draft_rows: vec![(0, n_catch - 1)],
        }
    }

    fn run(&self, device: &mut Device, candidates: &[[u32; 2]], params: &GrowParams) {
        let candidates = device.buffer(candidates);
        let buffers = [&*candidates, &self.state, &self.draft_state, &self.draft_tokens, &self.tokens];
        let mut b = device.builder(KernelSet::Gpu, NormKind::Rms);
        let one = pollster::block_on(dispatch(&mut b, params, buffers)).expect("builds");
        device.run([&one], RowClass::One, 1, 1);
    }

    /// The tree that will be verified, and the rows that were pruned.
    fn rows(&self, device: &Device, last: bool) -> (Vec<RoundNode>, Vec<RoundNode>) {
        let state = device.read::<u32>(&self.state, STATE_WORDS);
        let node = |row: usize| RoundNode {
            token: state[TOKEN + row],
            parent: (row > 0).then_some(state[PARENT + row] as usize),
            depth: state[DEPTH + row] as usize,
            log_prob: f32::from_bits(state[LOGP + row]),
            origin: match state[ORIGIN + row] {
                0 => NodeOrigin::Root,
                ORIGIN_LOOKUP => NodeOrigin::Lookup,
                rank => NodeOrigin::Draft { rank: rank as usize },
            },
        };
        let nodes = state[N_NODES] as usize;
        let grown = if last { state[N_GROWN] as usize } else { nodes };
        ((0..nodes).map(node).collect(), (nodes..grown).map(node).collect())
    }

    /// The device's tree is `tree`, with its ancestors; `pruned`: on the last level, what was not worth verifying.
    fn check_tree(&self, device: &Device, tree: &DraftTree, pruned: Option<&[RoundNode]>, what: &str) {
        let (rows, cut) = self.rows(device, pruned.is_some());
        assert_eq!(rows, tree.rows(), "{what}");
        assert_eq!(cut, pruned.unwrap_or_default(), "{what}: pruned");
        let state = device.read::<u32>(&self.state, STATE_WORDS);
        for row in 0..tree.rows().len() {
            let path = tree.ancestors(row);
            assert_eq!(ancestors(&state, row, path.len() - 1), path, "{what}: ancestors of row {row}");
        }
    }

    /// The draft's next pass is over `frontier`, each row of it below its parent's.
    fn check_frontier(&mut self, device: &Device, tree: &DraftTree, frontier: &[usize], what: &str) {
        let draft = device.read::<u32>(&self.draft_state, STATE_WORDS);
        let tokens = device.read::<u32>(&self.draft_tokens, 64);
        assert_eq!(draft[N_ROWS] as usize, frontier.len(), "{what}: rows of the frontier");
        for (m, &row) in frontier.iter().enumerate() {
            let t = draft[ROW0] as usize + m;
            assert_eq!((draft[PARENT + t] as usize, tokens[m]), (row, tree.rows()[row].token), "{what}: row {m}");
            self.draft_rows.push((row, t));
            let mut path: Vec<usize> = (0..self.n_catch - 1).collect();
            let of = |row: usize| self.draft_rows.iter().find(|(r, _)| *r == row).expect("the draft ran it").1;
            path.extend(tree.ancestors(row).into_iter().map(of));
            assert_eq!(draft[DEPTH + t] as usize + 1, path.len(), "{what}: depth in the draft");
            assert_eq!(ancestors(&draft, t, path.len() - 1), path, "{what}: ancestors in the draft");
        }
    }
}

fn rule(random: &mut Random) -> GrowRule {
    GrowRule {
        branch: match random.below(5) {
            0 => Branch::ByConfidence,
            n => Branch::Fixed(n),
        },
        frontier: random.pick(&[1, 3, 8, 40]),
        level_nodes: random.pick(&[1, 5, 12, 63]),
        max_nodes: random.pick(&[3, 20, 63]),
        tau: random.pick(&[0.0, 0.0, 0.01, 0.1]),
        deep_from: random.pick(&[2, 64]),
        deep: random.pick(&[0.05, 0.3]),
        stop_below: random.pick(&[0.0, 0.0, 0.2]),
        max_depth: random.pick(&[2, 4, 6]),
    }
}

/// Four candidates of each row, best first; now and then a token that no model has.
fn candidates(random: &mut Random, frontier: &[usize], tree: &DraftTree, vocab: u32) -> Vec<Vec<(u32, f32)>> {
    let of_row = |random: &mut Random, row: usize| {
        let sharp = random.below(2) == 0;
        let mut left = 1.0f32;
        let mut out: Vec<(u32, f32)> = Vec::new();
        for _ in 0..4 {
            let p = left * (if sharp { 0.9 } else { 0.4 });
            left -= p;
            // Often what was looked up.
            let looked_up = tree.rows().iter().find(|n| n.parent == Some(row) && n.origin == NodeOrigin::Lookup);
            let token = match looked_up {
                Some(node) if random.below(3) == 0 => node.token,
                _ => random.below(vocab as usize) as u32,
            };
            if out.iter().all(|c| c.0 != token) {
                out.push((token, p.ln() + 1e-3 * random.value()));
            }
        }
        out.sort_by(|a, b| b.1.total_cmp(&a.1));
        out
    };
    frontier.iter().map(|&row| of_row(random, row)).collect()
}

fn as_words(rows: &[Vec<(u32, f32)>], skipped: usize) -> Vec<[u32; 2]> {
    let none = [NO_TOKEN, f32::NEG_INFINITY.to_bits()];
    let mut words = vec![none; 4 * skipped];
    for row in rows {
        words.extend((0..4).map(|i| row.get(i).map_or(none, |c| [c.0, c.1.to_bits()])));
    }
    words
}

fn params(rule: &GrowRule, prune: Option<(&Prune, &VerifyMs)>, last: bool, vocab: u32) -> GrowParams {
    let t = rule.thresholds();
    let branch = match rule.branch {
        Branch::Fixed(n) => n as u32,
        Branch::ByConfidence => 0,
    };
    let verify = prune.map_or([1.0; 65], |(_, v)| *v);
    GrowParams {
        branch,
        frontier: rule.frontier as u32,
        level_nodes: rule.level_nodes as u32,
        max_nodes: rule.max_nodes as u32,
        tau: t.tau,
        deep: t.deep,
        stop_below: t.stop_below,
        deep_from: rule.deep_from as u32,
        max_depth: rule.max_depth as u32,
        n_shared: vocab,
        last: last.into(),
        prune: prune.is_some().into(),
        sunk_ms: prune.map_or(0.0, |(p, _)| p.sunk_ms),
        pad: [0; 3],
        log_ratio: prune.map_or([0.0; 16], |(p, _)| p.log_ratio()),
        verify_ms: std::array::from_fn(|i| verify.get(i).copied().unwrap_or(1e30)),
    }
}

/// The rows of `tree` that are not among `kept`, in their order, with their parents' rows where those lie after them.
fn pruned(tree: &DraftTree, kept: &[usize]) -> Vec<RoundNode> {
    let mut order = kept.to_vec();
    order.extend((0..tree.rows().len()).filter(|row| !kept.contains(row)));
    let new_row = |row: usize| order.iter().position(|&old| old == row).expect("every row has a place");
    let moved = |&row: &usize| RoundNode { parent: tree.rows()[row].parent.map(new_row), ..tree.rows()[row].clone() };
    order[kept.len()..].iter().map(moved).collect()
}

/// Seen to fail here: a frontier in order of rows, a budget that forgets the looked-up nodes.
#[test]
fn trees_grow_and_are_pruned_as_the_rules_say() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(21);
        for case in 0..60 {
            let vocab = random.pick(&[5, 1000]);
            let mut rule = rule(&mut random);
            let mut tree = DraftTree::new(random.below(vocab as usize) as u32);
            if random.below(2) == 0 {
                let n = random.below(8);
                let chain: Vec<u32> = (0..n).map(|_| random.below(vocab as usize) as u32).collect();
                tree.push_lookup(&chain, -0.4);
            }
            let n_catch = random.pick(&[1, 2, 3, 16]);
            // Now and then the request's end is nearer than the rule's depth.
            let room = random.pick(&[2, 4, 1000]);
            let mut round = Round::new(&device, &tree, n_catch, POSITION + 2 + room);
            rule.max_depth = rule.max_depth.min(room as usize);
            let mut frontier = vec![0];
            let levels = random.pick(&[1, 3, 5]);
            let mut skipped = n_catch - 1;
            for level in 1..=levels {
                let what = format!("case {case}, level {level} of {levels}, {rule:?}");
                let proposed = candidates(&mut random, &frontier, &tree, vocab);
                let last = level == levels;
                let next = grow(&mut tree, &frontier, &proposed, &rule);
                let (pruning, verify_ms) = (random.below(2) == 0, costs(&mut random));
                let how = Prune { ratio: std::array::from_fn(|_| 0.3 + random.value().abs()), sunk_ms: 2.0 };
                let how = (last && pruning).then_some((&how, &verify_ms));
                let words = as_words(&proposed, skipped);
                round.run(&mut device, &words, &params(&rule, how, last, vocab));
                skipped = 0;
                if last {
                    let mut cut = Vec::new();
                    if let Some((how, verify_ms)) = how {
                        let Pruned { tree: kept, kept: rows } = prune(&tree, how, verify_ms);
                        cut = pruned(&tree, &rows);
                        tree = kept;
                    }
                    let tokens: Vec<u32> = tree.rows().iter().map(|n| n.token).collect();
                    assert_eq!(device.read::<u32>(&round.tokens, 64)[..tokens.len()], tokens, "{what}");
                    assert_eq!(device.read::<u32>(&round.state, 1)[0] as usize, tokens.len(), "{what}: rows to verify");
                    round.check_tree(&device, &tree, Some(&cut), &what);
                } else {
                    round.check_frontier(&device, &tree, &next, &what);
                    round.check_tree(&device, &tree, None, &what);
                    frontier = next;
                }
            }
        }
    }
}

fn costs(random: &mut Random) -> VerifyMs {
    let step = random.pick(&[0.01, 0.2, 1.0]);
    std::array::from_fn(|rows| 5.0 + step * rows as f32)
}
