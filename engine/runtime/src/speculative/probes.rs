//! Parts of a round submitted alone, over made-up trees: to compile what a driver compiles at the first dispatch, and to
//! be timed.

use understory_protocol::method::MAX_ROWS;
use understory_protocol::{NodeOrigin, RoundMode, Sampling};
use understory_speculation::controller::RoundPlan;
use understory_speculation::grow::{Branch, GrowRule};
use understory_speculation::tree::{ANCESTOR_WORDS, DraftTree};

use super::draft_model::DraftModel;
use super::drafter::RoundSpec;
use super::round::RoundKernels;
use crate::forward::{Forward, Tail};
use crate::gpu::{Gpu, RowClass, record};
use crate::kernels::{CANDIDATES, Sampler, state};

impl RoundKernels {
    /// Submits a round of a draft's tree and of nothing to verify, greedy and sampled.
    pub(super) fn submit_empty_round(&mut self, gpu: &Gpu, target: &Forward, tree_rows: usize, positions: usize) {
        let rule = GrowRule { branch: Branch::Fixed(CANDIDATES), frontier: 2, max_nodes: 4, ..GrowRule::chain(2) };
        let levels = if self.drafters.model.is_some() { 2 } else { 0 };
        let plan = RoundPlan { mode: RoundMode::Draft, levels, rule, chain: false, ..RoundPlan::plain() };
        let round = RoundSpec { plan: &plan, next: &RoundPlan::plain(), tree_rows, positions };
        self.set_parameters(gpu, &round);
        gpu.submit_pass(|pass| {
            for sampling in [Sampling::default(), Sampler::everything()] {
                self.record(pass, target, &round, &sampling);
            }
        });
    }

    /// Submits a pass over a tree of `rows` rows, of at most `most`, with the choices.
    pub(super) fn submit_verification(&self, gpu: &Gpu, target: &Forward, rows: usize, most: usize, base: usize) {
        target.set_tree(gpu, &star(rows), base);
        gpu.submit_pass(|pass| {
            target.record_tree(&self.verifier.trees, pass, most, base + MAX_ROWS);
            record(pass, self.verifier.choices.choice(&Sampling::default()), RowClass::Tree, most as u32, 1);
        });
    }

    /// Submits a walk over a tree of one row.
    pub(super) fn submit_walk(&self, gpu: &Gpu, target: &Forward, base: usize) {
        target.set_tree(gpu, &star(1), base);
        gpu.submit_pass(|pass| record(pass, [&self.verifier.accept], RowClass::Tree, 1, 1));
    }
}

impl DraftModel {
    /// Submits a level of `rows` rows, without what joins it to the tree.
    pub(super) fn submit_level(&self, gpu: &Gpu, target: &Forward, rows: usize, base: usize) {
        target.set_tree(gpu, &star(rows), base);
        let forward = &self.forward;
        forward.set_tree(gpu, &star(rows), base);
        let itself: Vec<u32> = (0..rows as u32).collect();
        forward.set_words(gpu, state::PARENT, &itself);
        gpu.submit_pass(|pass| {
            forward.record_tree(&self.trees, pass, rows, base + MAX_ROWS);
            record(pass, self.candidates.dispatches(), RowClass::Tree, rows as u32, 1);
        });
    }
}

impl Forward {
    /// Submits one step of plain decoding at position `base`.
    pub(super) fn submit_plain_step(&self, gpu: &Gpu, base: usize) {
        self.set_rows(gpu, &[0], base);
        gpu.submit_pass(|pass| self.record(pass, 1, base, &Tail::Sample(&self.sampler, &Sampling::default())));
    }

    /// Writes `tree` as the rows of the next tree pass, its root at position `base`.
    pub(super) fn set_tree(&self, gpu: &Gpu, tree: &DraftTree, base: usize) {
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
fn star(rows: usize) -> DraftTree {
    let mut tree = DraftTree::new(0);
    for token in 1..rows as u32 {
        let added = tree.push(0, token, -1.0, NodeOrigin::Draft { rank: 1 });
        debug_assert!(added.is_ok(), "a star of up to 64 rows is a tree");
    }
    tree
}
