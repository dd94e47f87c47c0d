//! Arguments that choose a draft model and how tokens are found.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Model and device")]
pub struct DraftArgs {
    /// The smaller model that drafts, named as for --model, with the target's vocabulary; `none` for no draft
    /// [default: tales-draft for tales, else none]
    #[arg(long, value_name = "MODEL")]
    pub draft: Option<String>,
}

/// The parameters of the methods. Each belongs to one method; the defaults are in `methods.rs`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Speculation (the text is the same with every method)")]
pub struct SpeculationArgs {
    /// How tokens are found [default: auto with a draft model, ar without]
    #[arg(long, value_enum, value_name = "METHOD")]
    pub method: Option<MethodName>,
    /// linear: drafted tokens a round, 1 to 63 [default: 6]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub k: Option<usize>,
    /// tree: levels, 1 to 16 [default: 6]
    #[arg(long, value_name = "N", value_parser = count::<1, 16>)]
    pub depth: Option<usize>,
    /// tree: children of a node, 1 to 4 [default: 2]
    #[arg(long, value_name = "N", value_parser = count::<1, 4>)]
    pub branch: Option<usize>,
    /// tree: a node whose path is less probable than P has no children [default: 0.05]
    #[arg(long, value_name = "P", value_parser = probability, allow_negative_numbers = true)]
    pub tau: Option<f32>,
    /// tree: most nodes, 1 to 63 [default: 63]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub budget: Option<usize>,
    /// assisted: what decides how many tokens are drafted [default: heuristic]
    #[arg(long, value_enum)]
    pub schedule: Option<ScheduleName>,
    /// assisted, heuristic: tokens of the first round, 1 to 63 [default: 5]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub start: Option<usize>,
    /// assisted, confidence: most tokens a round, 1 to 63 [default: 20]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub most: Option<usize>,
    /// assisted, confidence: a token less probable than P ends the draft [default: 0.4]
    #[arg(long, value_name = "P", value_parser = probability, allow_negative_numbers = true)]
    pub threshold: Option<f32>,
    /// lookup: most tokens of context to look for, 1 to 8 [default: 3]
    #[arg(long, value_name = "N", value_parser = count::<1, 8>)]
    pub ngram: Option<usize>,
    /// lookup: most tokens to take over a round, 1 to 63 [default: 10]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub tokens: Option<usize>,
    /// For measuring a system with any weights: each drafted path goes on with probability P, whatever the target
    /// says. The text is not the target's then, and every output says so
    #[arg(long, value_name = "P", value_parser = probability, allow_negative_numbers = true)]
    pub synthetic_acceptance: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// One token after the other: autoregressive decoding, the baseline
    Ar,
    /// A chain of k drafted tokens a round (Leviathan et al. 2023, Chen et al. 2023)
    Linear,
    /// A tree of fixed depth and branching (SpecInfer, Miao et al. 2024; pruned by path probability as in DynaTree)
    Tree,
    /// A tree that branches where the draft is unsure, as deep as the last rounds allow (DynaTree)
    Dynatree,
    /// A chain whose length follows a schedule (assisted generation of Hugging Face transformers, Gante 2023)
    Assisted,
    /// What followed the last occurrence of the last tokens; no draft model (prompt lookup decoding, Saxena 2023)
    Lookup,
    /// Ours: the best tree for what passes cost on this device, looked-up paths included; pauses where it would lose
    Auto,
}

impl MethodName {
    pub fn needs_draft(self) -> bool {
        matches!(self, Self::Linear | Self::Tree | Self::Dynatree | Self::Assisted)
    }

    /// `auto` does without a draft model but takes one where there is one.
    pub fn takes_draft(self) -> bool {
        self.needs_draft() || self == Self::Auto
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ar => "ar",
            Self::Linear => "linear",
            Self::Tree => "tree",
            Self::Dynatree => "dynatree",
            Self::Assisted => "assisted",
            Self::Lookup => "lookup",
            Self::Auto => "auto",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleName {
    /// Two more after a round that accepted all, one fewer after one that did not
    Heuristic,
    /// Until the draft model is unsure
    Confidence,
}

impl ScheduleName {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heuristic => "heuristic",
            Self::Confidence => "confidence",
        }
    }
}

fn count<const LEAST: usize, const MOST: usize>(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(n) if (LEAST..=MOST).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from {LEAST} to {MOST}")),
    }
}

fn probability(value: &str) -> Result<f32, String> {
    match value.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("expected a number from 0 to 1".into()),
    }
}
