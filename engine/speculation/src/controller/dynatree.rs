//! DynaTree's adaptive policy: branching by confidence, depth by what the last rounds accepted.

use std::collections::VecDeque;

use understory_protocol::Round;
use understory_protocol::method::MAX_NODES;

use super::RoundPlan;
use crate::grow::{Branch, GrowRule};

const MAX_DEPTH: usize = 8;
/// A less probable path is not followed.
const TAU: f32 = 0.1;
/// Rounds that the history controller averages.
const WINDOW: usize = 10;
const TARGET: f64 = 0.7;
const TOLERANCE: f64 = 0.1;
/// Bounds of the depth from which on a path must be more probable than [`DynaTree::deep`].
const BASE_DEPTH: std::ops::RangeInclusive<usize> = 2..=7;
const DEEP_STEP: f32 = 0.05;
const DEEP: std::ops::RangeInclusive<f32> = 0.5..=0.95;

/// The policy's state.
///
/// Its measure of acceptance is the published one's idea, the accepted length over the drafted length: accepted
/// depth over the depth of the tree's deepest path. (Accepted over drafted *tokens*, this project's acceptance rate,
/// would fall with every branch and never reach the target of 0.7.)
#[derive(Debug)]
pub(super) struct DynaTree {
    base_depth: usize,
    deep: f32,
    history: VecDeque<f64>,
}

impl Default for DynaTree {
    fn default() -> Self {
        Self { base_depth: 5, deep: 0.5, history: VecDeque::with_capacity(WINDOW) }
    }
}

impl DynaTree {
    pub fn plan(&self) -> RoundPlan {
        let rule = GrowRule {
            branch: Branch::ByConfidence,
            frontier: MAX_NODES,
            level_nodes: MAX_NODES,
            max_nodes: MAX_NODES,
            tau: TAU,
            deep_from: self.base_depth,
            deep: self.deep,
            stop_below: 0.0,
            max_depth: MAX_DEPTH,
        };
        RoundPlan::drafted(MAX_DEPTH, rule)
    }

    /// One step a round once the window is full.
    pub fn observe(&mut self, round: &Round) {
        let deepest = round.nodes.iter().map(|n| n.depth).max().unwrap_or(0);
        if deepest == 0 {
            return;
        }
        if self.history.len() == WINDOW {
            self.history.pop_front();
        }
        self.history.push_back(round.path.len().saturating_sub(1) as f64 / deepest as f64);
        if self.history.len() < WINDOW {
            return;
        }
        let mean = self.history.iter().sum::<f64>() / WINDOW as f64;
        let (base_depth, deep) = match mean {
            m if m > TARGET + TOLERANCE => (self.base_depth + 1, self.deep - DEEP_STEP),
            m if m < TARGET - TOLERANCE => (self.base_depth - 1, self.deep + DEEP_STEP),
            _ => return,
        };
        self.base_depth = base_depth.clamp(*BASE_DEPTH.start(), *BASE_DEPTH.end());
        self.deep = deep.clamp(*DEEP.start(), *DEEP.end());
    }
}
