//! Arguments that choose a draft model and how tokens are found.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Model and device")]
pub struct DraftArgs {
    /// Draft model, named as for --model, with the target's vocabulary. `none`: no draft
    /// [default: tales-draft for tales, else none]
    #[arg(long, value_name = "MODEL")]
    pub draft: Option<String>,
}

/// The parameters of the methods. Each belongs to one method; the defaults are in `methods.rs`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Speculation (every method produces the same text)")]
pub struct SpeculationArgs {
    /// Decoding method [default: auto with a draft model, else ar]
    #[arg(long, value_enum, value_name = "METHOD")]
    pub method: Option<MethodName>,
    /// linear: drafted tokens per round, 1 to 63 [default: 6]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub k: Option<usize>,
    /// tree: levels, 1 to 16 [default: 6]
    #[arg(long, value_name = "N", value_parser = count::<1, 16>)]
    pub depth: Option<usize>,
    /// tree: children per node, 1 to 4 [default: 2]
    #[arg(long, value_name = "N", value_parser = count::<1, 4>)]
    pub branch: Option<usize>,
    /// tree: least path probability of a node with children [default: 0.05]
    #[arg(long, value_name = "P", value_parser = probability, allow_negative_numbers = true)]
    pub tau: Option<f32>,
    /// tree: maximum number of nodes, 1 to 63 [default: 63]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub budget: Option<usize>,
    /// assisted: rule for the number of drafted tokens [default: heuristic]
    #[arg(long, value_enum)]
    pub schedule: Option<ScheduleName>,
    /// assisted, heuristic: drafted tokens in the first round, 1 to 63 [default: 5]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub start: Option<usize>,
    /// assisted, confidence: maximum number of drafted tokens per round, 1 to 63 [default: 20]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub most: Option<usize>,
    /// assisted, confidence: drafting stops at a token less probable than P [default: 0.4]
    #[arg(long, value_name = "P", value_parser = probability, allow_negative_numbers = true)]
    pub threshold: Option<f32>,
    /// lookup: maximum length of the matched n-gram, 1 to 8 [default: 3]
    #[arg(long, value_name = "N", value_parser = count::<1, 8>)]
    pub ngram: Option<usize>,
    /// lookup: maximum number of copied tokens per round, 1 to 63 [default: 10]
    #[arg(long, value_name = "N", value_parser = count::<1, 63>)]
    pub tokens: Option<usize>,
    /// For measurements with arbitrary weights: accept the next token of a drafted path with probability P. The text is
    /// then not the target's, and every output says so
    #[arg(long, value_name = "P", value_parser = probability, allow_negative_numbers = true)]
    pub synthetic_acceptance: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Autoregressive decoding, one token per pass: the baseline
    Ar,
    /// A chain of k drafted tokens per round (Leviathan et al. 2023, Chen et al. 2023)
    Linear,
    /// A tree of fixed depth and branching (SpecInfer, Miao et al. 2024; pruned by path probability as in DynaTree)
    Tree,
    /// A tree that branches where the draft is unsure; its depth follows the accepted length (DynaTree)
    Dynatree,
    /// A chain whose length follows a schedule (assisted generation of Hugging Face transformers, Gante 2023)
    Assisted,
    /// The tokens that followed the last match of the context; no draft model (prompt lookup decoding, Saxena 2023)
    Lookup,
    /// Understory's own: the best tree for this device's measured costs, lookup included; pauses where it would not pay
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
    /// Two more tokens after a fully accepted round, one fewer after any other
    Heuristic,
    /// Draft until the draft model is unsure
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
