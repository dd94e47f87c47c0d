//! The command line as types. Help texts live here and nowhere else.
#![allow(rustdoc::broken_intra_doc_links, reason = "help texts write optional parts in brackets")]

mod bench;
mod inspect;
mod latency;
mod models;
mod predict;
mod reports;
mod serve;
mod speculation;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use understory_protocol::{Dtype, KernelSet, KvDtype, LoadOptions, Sampling};

use crate::conversation::TemplateArg;

pub use bench::{BenchArgs, BenchStartArgs, CompareArgs};
pub use inspect::{CalibrateArgs, TraceArgs, VerifyLosslessArgs};
pub use latency::LatencyArgs;
pub use models::{ModelsAction, ModelsArgs, ShowArgs};
pub use predict::{PrecisionArg, PredictArgs};
pub use reports::{ReportsAction, ReportsArgs};
pub use serve::ServeArgs;
pub use speculation::{DraftArgs, MethodName, ScheduleName, SpeculationArgs};

const EXAMPLES: &str = "\
Examples:
  understory generate \"Once upon a time\"
  understory generate --model HuggingFaceTB/SmolLM2-135M-Instruct \"Why is the sky blue?\"
  understory generate --model ./target --draft ./draft \"Once upon a time\"
  understory chat --model ./my-model
  understory serve --open
  understory devices

Exit status: 0 success; 1 failure; 2 wrong usage; 130 interrupted by Ctrl-C; 141 standard output was closed.";

const GENERATE_EXAMPLES: &str = "\
Examples:
  understory generate \"Once upon a time\"
  understory generate \"Once upon a time\" --temperature 0.8 --top-p 0.95 --seed 7
  understory generate --model ./my-model --messages conversation.json
  understory generate --prompt-file story.txt --max-new-tokens 400 --stop \"THE END\"
  understory generate \"Once upon a time\" --method tree --depth 4 --branch 3
  understory generate --model ./target --draft ./draft --method linear --k 8 \"Hello\"
  printf 'The king said' | understory generate - --json | jq .metrics.tpot_ms
  understory generate --model ~/models/llama --dtype f32 --raw \"Hello\"
  understory generate --model ./SmolLM2-135M-Instruct.Q4_K_M.gguf \"Why is the sky blue?\"";

const CHAT_EXAMPLES: &str = "\
In the conversation, /reset starts over, /exit or Ctrl-D ends the program, and Ctrl-C stops the answer.

Examples:
  understory chat
  understory chat --model HuggingFaceTB/SmolLM2-135M-Instruct --system \"Answer in one sentence.\"";

const EVAL_EXAMPLES: &str = "\
Examples:
  understory eval --model tales --text-file story.txt
  understory eval --model ./my-model --text-file story.txt --dtype f32 --json";

const KERNELS_EXAMPLES: &str = "\
GB/s counts each weight and activation once. \"of copy\" is relative to the measured bandwidth of a copy from buffer to \
buffer. \"of peak\" is relative to the measured rate of arithmetic in registers. --json contains every sample.

Examples:
  understory kernels
  understory kernels --shape pythia-2.8b --json > kernels.json
  understory kernels --profile gpu --device 1
  understory kernels --wgsl kernels/    writes every variant of every kernel; measures nothing";

const DEVICES_EXAMPLES: &str = "\
The number before an adapter's name is the value for --device.

Examples:
  understory devices
  understory devices --json | jq '.[] | select(.preferred).name'";

#[derive(Debug, Parser)]
#[command(
    name = "understory",
    version,
    about = "Run small language models on any GPU, with exact speculation and measured latency"
)]
#[command(after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Log more to stderr: -v shows steps, -vv details. RUST_LOG overrides this
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Write only errors to stderr
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate text from a prompt and stream it to stdout
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(GenerateArgs),
    /// Chat on the terminal; the KV cache is kept between turns
    #[command(after_help = CHAT_EXAMPLES)]
    Chat(ChatArgs),
    /// Show the draft tree of every speculation round and the accepted path
    #[command(after_help = inspect::TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Check that every method produces the same tokens as plain decoding
    #[command(after_help = inspect::VERIFY_EXAMPLES)]
    VerifyLossless(VerifyLosslessArgs),
    /// Measure the cost of speculation's passes on this device and test that they are lossless
    #[command(after_help = inspect::CALIBRATE_EXAMPLES)]
    Calibrate(CalibrateArgs),
    /// Measure the perplexity of a text under a model
    #[command(after_help = EVAL_EXAMPLES)]
    Eval(EvalArgs),
    /// Measure latency over a scenario of prompts, lengths, methods and start states
    #[command(after_help = bench::BENCH_EXAMPLES)]
    Bench(BenchArgs),
    /// One start of `bench`, in a process of its own
    #[command(hide = true)]
    BenchStart(BenchStartArgs),
    /// Compare reports of `bench` or of the page as ratios with intervals
    #[command(after_help = bench::COMPARE_EXAMPLES)]
    Compare(CompareArgs),
    /// Benchmark every kernel on this device, and verification by number of rows
    #[command(after_help = KERNELS_EXAMPLES)]
    Kernels(KernelsArgs),
    /// Predict latency, throughput and memory of a model on a device, without running it
    #[command(after_help = predict::EXAMPLES)]
    Predict(Box<PredictArgs>),
    /// Time every decode step and fit its dependence on position
    #[command(after_help = latency::EXAMPLES)]
    Latency(LatencyArgs),
    /// List, show, export, import or delete the reports of the collection
    #[command(after_help = reports::EXAMPLES)]
    Reports(ReportsArgs),
    /// Serve the page on this computer, with this computer's engine as its backend
    #[command(after_help = serve::EXAMPLES)]
    Serve(ServeArgs),
    /// List the GPU adapters with their limits, and the default one
    #[command(after_help = DEVICES_EXAMPLES)]
    Devices(ListArgs),
    /// List the bundled models and those in the hub's cache, or show one
    #[command(after_help = models::EXAMPLES)]
    Models(ModelsArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON array to stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model and device")]
pub struct LoadArgs {
    /// Model: `tales` or `tales-draft` (bundled), a folder, a GGUF file, or owner/name[@revision] on the Hugging Face hub,
    /// of GGUF repositories owner/name/FILE.gguf or owner/name:Q4_K_M. A hub model is downloaded once and then read from
    /// the cache. HF_HOME, HF_ENDPOINT and HF_TOKEN apply
    #[arg(short, long, value_name = "MODEL", default_value = "tales")]
    pub model: String,
    /// Data type of the weights on the device. Activations and sums are always f32. Blocks of a GGUF file stay as they
    /// are, except with f32
    #[arg(long, value_enum, default_value_t = DtypeArg::F16)]
    pub dtype: DtypeArg,
    /// Data type of the KV cache [default: f16 with the kernel set `gpu`; `cpu` has f32 alone]
    #[arg(long, value_enum)]
    pub kv_dtype: Option<KvDtypeArg>,
    /// Adapter, by its number in `understory devices` [default: the preferred one]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    pub device: Option<usize>,
    /// Kernel set: `gpu` is tuned for GPUs; `cpu` is barrier-free, for adapters emulated on a CPU [default: by adapter]
    #[arg(long, value_enum)]
    pub profile: Option<KernelSetArg>,
    /// Use only the hub's cache, never the network. HF_HUB_OFFLINE=1 does the same
    #[arg(long)]
    pub offline: bool,
}

impl LoadArgs {
    pub fn options(&self) -> LoadOptions {
        LoadOptions {
            dtype: self.dtype.into(),
            kv_dtype: self.kv_dtype.map(Into::into),
            profile: self.profile.map(Into::into),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DtypeArg {
    /// halves
    F16,
    /// single precision; blocks of the files are unpacked
    F32,
    /// blocks of 32 values of 8 bits
    Q8,
    /// blocks of 32 values of 4 bits
    Q4,
}

impl From<DtypeArg> for Dtype {
    fn from(dtype: DtypeArg) -> Self {
        match dtype {
            DtypeArg::F16 => Dtype::F16,
            DtypeArg::F32 => Dtype::F32,
            DtypeArg::Q8 => Dtype::Q8,
            DtypeArg::Q4 => Dtype::Q4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KvDtypeArg {
    F16,
    F32,
}

impl From<KvDtypeArg> for KvDtype {
    fn from(dtype: KvDtypeArg) -> Self {
        match dtype {
            KvDtypeArg::F16 => KvDtype::F16,
            KvDtypeArg::F32 => KvDtype::F32,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KernelSetArg {
    Gpu,
    Cpu,
}

impl From<KernelSetArg> for KernelSet {
    fn from(profile: KernelSetArg) -> Self {
        match profile {
            KernelSetArg::Gpu => KernelSet::Gpu,
            KernelSetArg::Cpu => KernelSet::Cpu,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Sampling temperature. 0 always takes the most likely token
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = number, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Sample from the K most likely tokens. 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub top_k: u32,
    /// Sample from the most likely tokens whose probabilities sum to P. 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = number, allow_negative_numbers = true)]
    pub top_p: f32,
    /// Drop tokens less likely than P times the most likely one. 0 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = number, allow_negative_numbers = true)]
    pub min_p: f32,
    /// Penalty for tokens already in the context. Values above 1 make them less likely; 1 is off
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = number, allow_negative_numbers = true)]
    pub repetition_penalty: f32,
    /// Seed of sampling. The same seed gives the same text. It has no effect at temperature 0
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub seed: u64,
}

impl SamplingArgs {
    pub fn sampling(&self) -> Sampling {
        let &Self { temperature, top_k, top_p, min_p, repetition_penalty, seed } = self;
        Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed }
    }
}

/// What to continue and where to end.
#[derive(Debug, Args)]
pub struct PromptArgs {
    /// Prompt. `-` reads it from stdin; so does no prompt, if stdin is not a terminal
    #[arg(conflicts_with = "prompt_file")]
    pub prompt: Option<String>,
    /// Read the prompt from a UTF-8 file. A final newline is part of the prompt
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
    /// Continue past the model's end-of-text tokens
    #[arg(long)]
    pub ignore_eos: bool,
    /// Stop before this text. May be given several times
    #[arg(long, value_name = "TEXT", value_parser = not_empty)]
    pub stop: Vec<String>,
    /// Use the prompt as it is, without a chat template [default: --chat if the model has a chat template, else --raw]
    #[arg(long, conflicts_with = "chat")]
    pub raw: bool,
    /// Use the prompt as a user message in the model's chat template
    #[arg(long)]
    pub chat: bool,
}

/// How tokens are found and chosen, and by which models.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub speculation: SpeculationArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub draft: DraftArgs,
}

/// Variables for the model's chat template.
#[derive(Debug, Args)]
pub struct TemplateArgs {
    /// Set a variable of the chat template to a JSON value, such as enable_thinking=false. May be given several times
    #[arg(id = "template_args", long = "template-arg", value_name = "NAME=JSON")]
    pub args: Vec<TemplateArg>,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// Read a conversation from a JSON file, `-` for stdin: {"messages": [...], "tools": [...], "documents": [...],
    /// "add_generation_prompt": true, "chat_template_kwargs": {...}}. Only the messages are required
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "prompt_file", "raw", "chat", "template_args"])]
    pub messages: Option<PathBuf>,
    #[command(flatten)]
    pub template: TemplateArgs,
    /// Maximum number of new tokens
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    /// Print one JSON object to stdout at the end, without streaming
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub template: TemplateArgs,
    /// System message before the first turn
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Maximum number of tokens in one answer
    #[arg(short = 'n', long, value_name = "N", default_value_t = 512, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// UTF-8 file with the text to measure
    #[arg(long, value_name = "FILE")]
    pub text_file: PathBuf,
    /// Print one JSON object to stdout, with the value of each token
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub struct KernelsArgs {
    /// Model whose matrix sizes are used, with random weights: `tales`, or one that `understory predict --list-models`
    /// shows, such as llama-3.2-1b [default: tales on adapters emulated on a CPU, else pythia-2.8b]
    #[arg(long, value_name = "NAME")]
    pub shape: Option<String>,
    /// Model whose matrix sizes and data types are used, in place of --shape: as with `understory generate`
    #[arg(short, long, value_name = "MODEL", conflicts_with = "shape")]
    pub model: Option<String>,
    /// Data type of weights that are not in blocks
    #[arg(long, value_enum, default_value_t = DtypeArg::F16)]
    pub dtype: DtypeArg,
    /// Adapter, by its number in `understory devices` [default: the preferred one]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    pub device: Option<usize>,
    /// Kernel set: `gpu` is tuned for GPUs; `cpu` is barrier-free, for adapters emulated on a CPU [default: by adapter]
    #[arg(long, value_enum)]
    pub profile: Option<KernelSetArg>,
    /// Write every variant of every kernel as plain WGSL to this folder and measure nothing; NAME.browser.wgsl is what
    /// browsers are given in place of NAME.wgsl
    #[arg(long, value_name = "DIR", help_heading = "Output", conflicts_with_all = ["shape", "model", "device", "profile", "json"])]
    pub wgsl: Option<PathBuf>,
    /// Print one JSON object to stdout and the table to stderr
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

fn at_least_one(value: &str) -> Result<usize, String> {
    value.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a whole number, 1 or more".into())
}

/// For numbers from 0 on.
fn whole<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "expected a whole number, 0 or more".into())
}

fn number(value: &str) -> Result<f32, String> {
    value.parse().map_err(|_| "expected a number such as 0.8".into())
}

fn not_empty(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("an empty text occurs everywhere".into()) } else { Ok(value.into()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
