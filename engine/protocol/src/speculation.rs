//! What speculation did in a request, and what it stands on.

use serde::{Deserialize, Serialize};

use crate::Method;

/// One round: the tree that was verified and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// counted from 0 in the request
    pub index: usize,
    /// position of the root in the sequence
    pub position: usize,
    /// row 0 is the root; a parent comes before its children
    pub nodes: Vec<RoundNode>,
    /// drafted and not verified, since that was not worth its cost; their rows go on from those of `nodes`
    pub pruned: Vec<RoundNode>,
    /// rows of the accepted path, the root first
    pub path: Vec<usize>,
    /// accepted tokens, then the target's own (the bonus token)
    pub emitted: Vec<u32>,
    /// the mode the round ran in: `plain`, `lookup` or `draft`
    pub mode: RoundMode,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundNode {
    pub token: u32,
    /// `None`: the root
    pub parent: Option<usize>,
    pub depth: usize,
    /// of the path, as the draft sees it: natural logarithm
    pub log_prob: f32,
    pub origin: NodeOrigin,
}

/// Where a node of the tree came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeOrigin {
    Root,
    /// rank among its siblings as the draft sees it, from 1
    Draft {
        rank: usize,
    },
    Lookup,
}

/// What a round is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundMode {
    /// the root only
    Plain,
    /// looked-up tokens, no draft model
    Lookup,
    /// the draft model's, and looked-up ones where the method merges them
    Draft,
}

/// What speculation did in one request. Definitions: docs/numbers.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speculation {
    pub method: Method,
    /// passes of the target after the first token
    pub target_passes: usize,
    /// those that verified at least one drafted token
    pub rounds: usize,
    /// drafted tokens that the target verified (nodes of all trees without their roots)
    pub drafted: usize,
    /// drafted tokens that became part of the text
    pub accepted: usize,
    /// `accepted / drafted`; `None`: none drafted
    pub acceptance_rate: Option<f64>,
    /// `1 + accepted / rounds`; 1 without any round
    pub acceptance_length: f64,
    /// `1 + accepted / target_passes`
    pub tokens_per_target_pass: f64,
    /// entry d - 1: depth d
    pub by_depth: Vec<DepthCount>,
    /// rows through the target, roots included
    pub nodes_verified: usize,
    pub tokens_per_emission: f64,
    pub governor: Vec<GovernorDecision>,
    /// waits for the device per token
    pub host_syncs_per_token: f64,
    /// what the self-test found on this device; `None`: it is not that far, and nothing was guessed
    pub lossless: Option<Lossless>,
    /// set: acceptance was injected, the text is not the target's
    pub synthetic_acceptance: Option<f32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepthCount {
    /// rounds whose tree reached this depth
    pub offered: usize,
    /// nodes at this depth
    pub nodes: usize,
    /// rounds that accepted a token at this depth
    pub accepted: usize,
}

/// A change of mode by `auto`'s governor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GovernorDecision {
    pub round: usize,
    pub mode: RoundMode,
    /// tokens per ms expected of the modes: plain, lookup, draft
    pub expected: [Option<f64>; 3],
    pub reason: String,
}

/// How the engine knows that verification gives plain decoding's bits on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lossless {
    /// rows of a tree had the bits of plain decoding
    #[serde(rename = "verified")]
    Verified,
    /// they had not; plain decoding goes through the pipelines of verification instead
    #[serde(rename = "shared pipeline")]
    SharedPipeline,
    /// rows differ by their number even there: no speculation
    #[serde(rename = "off")]
    Off,
}

impl Lossless {
    /// What the self-test found, and what it means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Verified => "verified: rows of a tree have the bits of plain decoding on this device",
            Self::SharedPipeline => {
                "shared pipeline: rows of a tree have bits of their own on this device, so plain decoding goes through \
                 the tree's pipelines"
            }
            Self::Off => "off: bits depend on the number of rows on this device, so nothing is speculated",
        }
    }
}

/// What passes cost on this device, in milliseconds. Cached by adapter, models and build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// (rows, ms) of a verification pass with head, choice and accept, rows ascending
    pub verify_ms: Vec<(usize, f64)>,
    /// (rows, ms) of a draft level: pass, head, candidates, grow; empty without a draft
    pub draft_ms: Vec<(usize, f64)>,
    /// a plain step
    pub plain_ms: f64,
    /// what a round costs beside its passes
    pub fixed_ms: f64,
    pub lossless: Lossless,
    /// what measuring took
    pub took_ms: f64,
}
