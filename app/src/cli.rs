//! The command line as types. Help texts live here and nowhere else.

mod bench;
mod inspect;
mod latency;
mod predict;
mod reports;
mod serve;
mod speculation;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use understory_model::MeasuredShape;
use understory_protocol::{Dtype, KernelSet, LoadOptions, Sampling};

pub use bench::{BenchArgs, BenchStartArgs, CompareArgs};
pub use inspect::{CalibrateArgs, TraceArgs, VerifyLosslessArgs};
pub use latency::LatencyArgs;
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

Exit status: 0 done; 1 failure; 2 wrong usage; 130 ended by Ctrl-C; 141 the reader of stdout went away.";

const GENERATE_EXAMPLES: &str = "\
Examples:
  understory generate \"Once upon a time\"
  understory generate \"Once upon a time\" --temperature 0.8 --top-p 0.95 --seed 7
  understory generate --prompt-file story.txt --max-new-tokens 400 --stop \"THE END\"
  understory generate \"Once upon a time\" --method tree --depth 4 --branch 3
  understory generate --model ./target --draft ./draft --method linear --k 8 \"Hello\"
  printf 'The king said' | understory generate - --json | jq .metrics.tpot_ms
  understory generate --model ~/models/llama --dtype f32 --raw \"Hello\"";

const CHAT_EXAMPLES: &str = "\
In the conversation: /reset starts over, /exit or Ctrl-D leaves, Ctrl-C stops the answer.

Examples:
  understory chat
  understory chat --model HuggingFaceTB/SmolLM2-135M-Instruct --system \"Answer in one sentence.\"";

const EVAL_EXAMPLES: &str = "\
Examples:
  understory eval --model tales --text-file story.txt
  understory eval --model ./my-model --text-file story.txt --dtype f32 --json";

const KERNELS_EXAMPLES: &str = "\
GB/s counts weights and activations once; of copy and of peak compare with what this device was measured to copy \
from buffer to buffer and to compute in registers. --json holds every sample.

Examples:
  understory kernels
  understory kernels --shape pythia-2.8b --json > kernels.json
  understory kernels --profile gpu --device 1
  understory kernels --wgsl kernels/    every variant of every kernel as a file, nothing measured";

const MODELS_EXAMPLES: &str = "\
Cached models lie where the other Hugging Face tools look for them: $HF_HOME/hub, or ~/.cache/huggingface/hub.

Examples:
  understory models
  understory models --json | jq '.[].name'";

#[derive(Debug, Parser)]
#[command(name = "understory", version, about = "Runs small language models on any GPU, with honest timings")]
#[command(after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say more on stderr (-v: what is done, -vv: details; RUST_LOG overrides)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Nothing on stderr but errors
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Continue a prompt, streaming the text to stdout
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(GenerateArgs),
    /// Hold a conversation on the terminal; the KV cache stays between turns
    #[command(after_help = CHAT_EXAMPLES)]
    Chat(ChatArgs),
    /// Show the tree of every round of speculation, and what the target accepted of it
    #[command(after_help = inspect::TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Check that every method gives plain decoding's text, token for token
    #[command(after_help = inspect::VERIFY_EXAMPLES)]
    VerifyLossless(VerifyLosslessArgs),
    /// Measure what speculation's passes cost on this device, and test that they are lossless here
    #[command(after_help = inspect::CALIBRATE_EXAMPLES)]
    Calibrate(CalibrateArgs),
    /// Measure how well a model predicts a text (negative log-likelihood, perplexity)
    #[command(after_help = EVAL_EXAMPLES)]
    Eval(EvalArgs),
    /// Measure latency: a scenario of prompts, lengths, methods and start states, with intervals and a report
    #[command(after_help = bench::BENCH_EXAMPLES)]
    Bench(BenchArgs),
    /// One start of `bench`, in a process of its own
    #[command(hide = true)]
    BenchStart(BenchStartArgs),
    /// Compare reports of `bench` or of the page: ratios with intervals, like with like
    #[command(after_help = bench::COMPARE_EXAMPLES)]
    Compare(CompareArgs),
    /// Benchmark every kernel on this device, and what checking n rows at once costs
    #[command(after_help = KERNELS_EXAMPLES)]
    Kernels(KernelsArgs),
    /// Predict latency, throughput and memory of a model on a device, without weights or the device
    #[command(after_help = predict::EXAMPLES)]
    Predict(Box<PredictArgs>),
    /// Time every decode step, and say what its time depends on: fits, estimators, the KV cache's part
    #[command(after_help = latency::EXAMPLES)]
    Latency(LatencyArgs),
    /// The collection of reports: list, show, export, import, delete
    #[command(after_help = reports::EXAMPLES)]
    Reports(ReportsArgs),
    /// Serve the page on this computer, with this computer's engine behind it
    #[command(after_help = serve::EXAMPLES)]
    Serve(ServeArgs),
    /// List the GPU adapters, their limits, and which one would be used and why
    Devices(ListArgs),
    /// List the models at hand: those inside the program and those in the hub's cache
    #[command(after_help = MODELS_EXAMPLES)]
    Models(ListArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// One JSON array on stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model and device")]
pub struct LoadArgs {
    /// `tales` or `tales-draft` (inside the program), a folder, or owner/name[@revision] on the Hugging Face hub.
    /// A hub model is downloaded once and used as it is from then on (HF_HOME, HF_ENDPOINT and HF_TOKEN apply)
    #[arg(short, long, value_name = "MODEL", default_value = "tales")]
    pub model: String,
    /// How weights are stored on the device; activations and sums are always f32
    #[arg(long, value_enum, default_value_t = DtypeArg::F16)]
    pub dtype: DtypeArg,
    /// Adapter, by its number in `understory devices` [default: the best one]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    pub device: Option<usize>,
    /// Set of kernels: tuned for GPUs, or barrier-free for adapters emulated on a CPU [default: by the adapter]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileArg>,
    /// Use the hub's cache only, never the network (also HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub offline: bool,
}

impl LoadArgs {
    pub fn options(&self) -> LoadOptions {
        let dtype = match self.dtype {
            DtypeArg::F16 => Dtype::F16,
            DtypeArg::F32 => Dtype::F32,
        };
        LoadOptions { dtype, profile: self.profile.map(Into::into) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DtypeArg {
    F16,
    F32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    Gpu,
    Cpu,
}

impl From<ProfileArg> for KernelSet {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Gpu => KernelSet::Gpu,
            ProfileArg::Cpu => KernelSet::Cpu,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// 0 always takes the most likely token; higher is more varied
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = number, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Keep the K most likely tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub top_k: u32,
    /// Keep the most likely tokens that together reach probability P; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = number, allow_negative_numbers = true)]
    pub top_p: f32,
    /// Drop tokens less likely than P times the most likely one; 0 drops none
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = number, allow_negative_numbers = true)]
    pub min_p: f32,
    /// Above 1, tokens already in the context become less likely; 1 is off
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = number, allow_negative_numbers = true)]
    pub repetition_penalty: f32,
    /// Same seed, same text. Fixed by default, so that a command can be repeated; it matters above temperature 0
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
    /// The text to continue; `-` reads it from stdin, as does leaving it out where stdin is not a terminal
    #[arg(conflicts_with = "prompt_file")]
    pub prompt: Option<String>,
    /// Read the prompt from a file, byte for byte (UTF-8; a final newline is part of it)
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
    /// Go on past the model's end tokens
    #[arg(long)]
    pub ignore_eos: bool,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = not_empty)]
    pub stop: Vec<String>,
    /// Take the prompt as it is [default: --chat if the model has a chat template, --raw if not]
    #[arg(long, conflicts_with = "chat")]
    pub raw: bool,
    /// Take the prompt as a user's message, through the model's chat template
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

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// Most tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    /// One JSON object on stdout at the end, and no streaming
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What the model is told before the first turn
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of one answer
    #[arg(short = 'n', long, value_name = "N", default_value_t = 512, value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The text to measure (UTF-8)
    #[arg(long, value_name = "FILE")]
    pub text_file: PathBuf,
    /// One JSON object on stdout, with the value of each token
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub struct KernelsArgs {
    /// The model whose sizes are used, with made-up weights [default: tales on adapters emulated on a CPU, else
    /// pythia-2.8b]
    #[arg(long, value_enum)]
    pub shape: Option<ShapeArg>,
    /// Adapter, by its number in `understory devices` [default: the best one]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    pub device: Option<usize>,
    /// Set of kernels: tuned for GPUs, or barrier-free for adapters emulated on a CPU [default: by the adapter]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileArg>,
    /// Write every variant of every kernel as plain WGSL to this folder, and measure nothing
    #[arg(long, value_name = "DIR", help_heading = "Output", conflicts_with_all = ["shape", "device", "profile", "json"])]
    pub wgsl: Option<PathBuf>,
    /// One JSON object on stdout, and the table on stderr
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShapeArg {
    Tales,
    #[value(name = "pythia-2.8b")]
    Pythia,
}

impl From<ShapeArg> for MeasuredShape {
    fn from(shape: ShapeArg) -> Self {
        match shape {
            ShapeArg::Tales => Self::Tales,
            ShapeArg::Pythia => Self::Pythia,
        }
    }
}

fn at_least_one(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected a whole number, 1 or more".into()),
    }
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
