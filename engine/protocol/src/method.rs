//! The ways to find tokens, as a front end asks for them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most candidates of a row that can become its children.
pub const MAX_BRANCH: usize = 4;

/// Match lengths told apart; longer matches count as this long.
pub const MATCHES: usize = 8;

/// Rows of a tree, the root included.
pub const MAX_ROWS: usize = 64;

/// Drafted and looked-up nodes of a tree.
pub const MAX_NODES: usize = MAX_ROWS - 1;

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

/// With the bundled pair, of 1, 1.5, 1.75 and 2: the one at which `dynatree` accepts most of those that verify less than
/// twice the nodes of a chain of six, greedily, over 100, 300 and 500 tokens; and more than that chain.
const SHARPNESS: f32 = 1.75;

/// The methods with the parameters that they have when none are given.
impl Method {
    pub const LINEAR: Method = Method::Linear { k: 6 };
    pub const TREE: Method = Method::Tree { depth: 6, branch: 2, tau: 0.05, budget: 63 };
    pub const HEURISTIC: Method = Method::Assisted { schedule: Schedule::Heuristic { start: 5 } };
    pub const CONFIDENCE: Method = Method::Assisted { schedule: Schedule::Confidence { most: 20, threshold: 0.4 } };
    pub const LOOKUP: Method = Method::Lookup { ngram: 3, tokens: 10 };
}

impl Method {
    pub fn name(&self) -> &'static str {
        match self {
            Method::Ar => "ar",
            Method::Linear { .. } => "linear",
            Method::Tree { .. } => "tree",
            Method::DynaTree => "dynatree",
            Method::Assisted { .. } => "assisted",
            Method::Lookup { .. } => "lookup",
            Method::Auto => "auto",
        }
    }

    /// What the draft's logits are multiplied by at temperature 0, before they become probabilities. The policies that
    /// weigh paths against each other ask which token is the target's largest, which is a surer thing than which token
    /// it would draw; published thresholds of the others are on the draft's plain probabilities.
    pub fn sharpness(&self) -> f32 {
        match self {
            Method::DynaTree | Method::Auto => SHARPNESS,
            _ => 1.0,
        }
    }

    /// Whether there is nothing to do for it without a draft model.
    pub fn needs_draft(&self) -> bool {
        match self {
            Method::Ar | Method::Lookup { .. } | Method::Auto => false,
            Method::Linear { .. } | Method::Tree { .. } | Method::DynaTree | Method::Assisted { .. } => true,
        }
    }

    /// # Errors
    /// [`Error::BadParameter`] names the first parameter outside its range.
    pub fn validate(&self) -> Result<()> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        let count = |name, value: usize, most: usize, expected| match (1..=most).contains(&value) {
            true => Ok(()),
            false => bad(name, value.to_string(), expected),
        };
        let probability = |name, p: f32| match (0.0..=1.0).contains(&p) {
            true => Ok(()),
            false => bad(name, p.to_string(), "a number from 0 to 1"),
        };
        match *self {
            Method::Ar | Method::DynaTree | Method::Auto => Ok(()),
            Method::Linear { k } => count("k", k, MAX_NODES, "1 to 63"),
            Method::Tree { depth, branch, tau, budget } => {
                count("depth", depth, 16, "1 to 16")?;
                count("branch", branch, MAX_BRANCH, "1 to 4")?;
                probability("tau", tau)?;
                count("budget", budget, MAX_NODES, "1 to 63")
            }
            Method::Assisted { schedule: Schedule::Heuristic { start } } => count("start", start, MAX_NODES, "1 to 63"),
            Method::Assisted { schedule: Schedule::Confidence { most, threshold } } => {
                count("most", most, MAX_NODES, "1 to 63")?;
                probability("threshold", threshold)
            }
            Method::Lookup { ngram, tokens } => {
                count("ngram", ngram, MATCHES, "1 to 8")?;
                count("tokens", tokens, MAX_NODES, "1 to 63")
            }
        }
    }
}

/// With its parameters in words: `tree (depth 6, branch 2, tau 0.05, budget 63)`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match *self {
            Method::Ar | Method::DynaTree | Method::Auto => f.write_str(name),
            Method::Linear { k } => write!(f, "{name} (k {k})"),
            Method::Tree { depth, branch, tau, budget } => {
                write!(f, "{name} (depth {depth}, branch {branch}, tau {tau}, budget {budget})")
            }
            Method::Assisted { schedule: Schedule::Heuristic { start } } => {
                write!(f, "{name} (heuristic, start {start})")
            }
            Method::Assisted { schedule: Schedule::Confidence { most, threshold } } => {
                write!(f, "{name} (confidence, most {most}, threshold {threshold})")
            }
            Method::Lookup { ngram, tokens } => write!(f, "{name} (ngram {ngram}, tokens {tokens})"),
        }
    }
}
