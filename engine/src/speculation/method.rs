//! The ways to find tokens, as a front end asks for them.

use serde::{Deserialize, Serialize};

/// How tokens are found. Every method gives the same text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Method {
    /// one after the other (autoregressive decoding)
    #[default]
    Ar,
    /// a chain of `k` drafted tokens a round (Leviathan et al., 2023; Chen et al., 2023)
    Linear { k: usize },
    /// breadth first to `depth`, the `branch` best children a node; a node whose path probability is below `tau` has
    /// none; at most `budget` nodes (SpecInfer's static tree with the pruning of DynaTree)
    Tree { depth: usize, branch: usize, tau: f32, budget: usize },
    /// DynaTree's adaptive policy: branching by confidence, depth by the acceptance of the last rounds
    #[serde(rename = "dynatree")]
    DynaTree,
    /// `transformers`' assisted generation: a chain whose length follows a schedule
    Assisted { schedule: Schedule },
    /// n-gram prompt lookup (Saxena, 2023): no draft model; `tokens` that followed the last occurrence of up to
    /// `ngram` tokens of context
    Lookup { ngram: usize, tokens: usize },
    /// best-first tree with looked-up paths, sized by what this device's passes cost; pauses where it would lose
    Auto,
}

/// How many tokens `assisted` drafts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// begins with `start`; two more after a round that accepted all, one fewer after one that did not
    Heuristic { start: usize },
    /// up to `most`, ending with the first token whose probability is below `threshold`
    Confidence { most: usize, threshold: f32 },
}
