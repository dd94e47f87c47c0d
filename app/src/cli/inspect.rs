//! Arguments of the commands that look into speculation.

use std::path::PathBuf;

use clap::Args;

use super::speculation::{DraftArgs, MethodName};
use super::{LoadArgs, PromptArgs, RunArgs, SamplingArgs, at_least_one};

pub const CALIBRATE_EXAMPLES: &str = "\
The costs are kept in the cache folder ($XDG_CACHE_HOME/understory, or the system's folder for caches), one file for \
each device, pair of models, weight type and build. generate, chat and trace measure them on their first run.

Examples:
  understory calibrate
  understory calibrate --model ./target --draft ./draft --fresh
  understory calibrate --json | jq .costs.verify_ms";

pub const TRACE_EXAMPLES: &str = "\
Each round is drawn as a tree. The root is the last token of the text, * marks accepted tokens, and + marks the target's \
own token. Each node shows the draft's probability of its path, and its origin: its rank among its siblings (#1 is the \
draft's best), or lookup.

Examples:
  understory trace \"Once upon a time\" --method tree --depth 3 --branch 2 -n 16
  understory trace \"one, two, one, two,\" --method lookup
  understory trace \"Once upon a time\" -n 200 --json > rounds.json";

pub const VERIFY_EXAMPLES: &str = "\
Plain decoding (ar) and each method continue every prompt, and their token ids are compared. A difference is shown with \
the target's logits at that position. Any difference makes the exit status 1.

Examples:
  understory verify-lossless
  understory verify-lossless --temperature 0.8 --top-p 0.95 --seeds 5
  understory verify-lossless --methods tree,auto --prompts prompts.jsonl --json
  understory verify-lossless --model ./target --draft ./draft

The file of prompts has one JSON object a line: {\"id\": \"fox\", \"text\": \"The quick brown fox\"}. The id is optional.";

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Measure again and replace the cached costs
    #[arg(long)]
    pub fresh: bool,
    /// Print one JSON object to stdout
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
    /// Maximum number of new tokens
    #[arg(short = 'n', long, value_name = "N", default_value_t = 32, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    /// Print one JSON object to stdout at the end, with every round and the text of each token
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Args)]
pub struct VerifyLosslessArgs {
    /// File of prompts, used without a chat template [default: four bundled sentences]
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// Maximum number of new tokens of each run
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    /// Continue past the model's end-of-text tokens
    #[arg(long)]
    pub ignore_eos: bool,
    /// Methods to compare with ar, with default parameters, such as tree,auto. assisted runs with both schedules
    /// [default: all that the draft model allows]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "METHODS")]
    pub methods: Vec<MethodName>,
    /// Runs of each prompt, with consecutive seeds from --seed. Needs a temperature above 0
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one, allow_negative_numbers = true)]
    pub seeds: usize,
    /// Print one JSON object to stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub draft: DraftArgs,
}
