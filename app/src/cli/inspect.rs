//! Arguments of the commands that look into speculation.

use std::path::PathBuf;

use clap::Args;

use super::speculation::{DraftArgs, MethodName};
use super::{LoadArgs, PromptArgs, RunArgs, SamplingArgs, at_least_one};

pub const CALIBRATE_EXAMPLES: &str = "\
Kept in the cache folder ($XDG_CACHE_HOME/understory, or where the system keeps caches), apart for each device, pair \
of models, weight type and build; generate, chat and trace measure on their first run and use it from then on.

Examples:
  understory calibrate
  understory calibrate --model ./target --draft ./draft --fresh
  understory calibrate --json | jq .costs.verify_ms";

pub const TRACE_EXAMPLES: &str = "\
A round is a tree: its root is the last token of the text, * marks what the target accepted, + the token that is the \
target's own. Each node shows the probability of its path as the draft sees it, and where it came from: its rank among \
its siblings (#1 is the draft's best), or lookup.

Examples:
  understory trace \"Once upon a time\" --method tree --depth 3 --branch 2 -n 16
  understory trace \"one, two, one, two,\" --method lookup
  understory trace \"Once upon a time\" -n 200 --json > rounds.json";

pub const VERIFY_EXAMPLES: &str = "\
Every prompt is continued by plain decoding (ar) and by each method, from the same start, and the token ids are \
compared. A difference is shown with the target's logits at that position, and ends the command with status 1.

Examples:
  understory verify-lossless
  understory verify-lossless --temperature 0.8 --top-p 0.95 --seeds 5
  understory verify-lossless --methods tree,auto --prompts prompts.jsonl --json
  understory verify-lossless --model ./target --draft ./draft

A line of the file of prompts: {\"id\": \"fox\", \"text\": \"The quick brown fox\"} (the id may be left out).";

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Measure anew, whatever the cache holds
    #[arg(long)]
    pub fresh: bool,
    /// One JSON object on stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub draft: DraftArgs,
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// Most tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 32, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    /// One JSON object on stdout at the end: every round, and the text of each token
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Args)]
pub struct VerifyLosslessArgs {
    /// Prompts, one JSON object a line with `text` and perhaps `id`, taken as they are (no chat template)
    /// [default: four sentences inside the program]
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// Most tokens of each run
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    /// Go on past the model's end tokens
    #[arg(long)]
    pub ignore_eos: bool,
    /// Methods to compare with ar, each with its default parameters; assisted runs with both schedules
    /// [default: all that the draft model allows]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "METHODS")]
    pub methods: Vec<MethodName>,
    /// Runs of each prompt, with seeds from --seed on; above temperature 0
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one, allow_negative_numbers = true)]
    pub seeds: usize,
    /// One JSON object on stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub draft: DraftArgs,
}
