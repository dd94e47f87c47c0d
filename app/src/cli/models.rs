//! Arguments of `understory models`.

use clap::{Args, Subcommand};

use super::ListArgs;

pub const EXAMPLES: &str = "\
The cache is the one that other Hugging Face tools use: $HF_HOME/hub, or ~/.cache/huggingface/hub.

A name of the catalogue goes after --model of `generate`, and that of its draft after --draft: the pair has one \
tokenizer. A gated model needs its licence accepted on the hub, and a token of that account in HF_TOKEN. Sizes with \
\"about\" are computed from the architecture. Memory is the files and a tenth of them, the KV cache of 2048 tokens, and \
64 MiB.

Examples:
  understory models
  understory models --json | jq '.[].name'
  understory models --catalogue
  understory models --catalogue --json | jq '.[] | select(.draft) | {id, draft}'
  understory models show ./SmolLM2-135M-Instruct.Q4_K_M.gguf
  understory models show tales --tensors";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub action: Option<ModelsAction>,
    /// List models worth trying, each with its size, licence and draft
    #[arg(long)]
    pub catalogue: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Subcommand)]
pub enum ModelsAction {
    /// Show what a model is: sizes, types of its tensors, tokenizer, chat template
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Model, as --model of `generate` takes it
    pub model: String,
    /// List every tensor with its type, shape and size
    #[arg(long, help_heading = "Output")]
    pub tensors: bool,
    /// Print one JSON object to stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Use only the hub's cache, never the network. HF_HUB_OFFLINE=1 does the same
    #[arg(long)]
    pub offline: bool,
}
