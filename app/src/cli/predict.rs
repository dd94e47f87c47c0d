//! Arguments of `understory predict`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use understory_protocol::{Lora, Precision};

use super::{at_least_one, whole};

pub const EXAMPLES: &str = "\
The time of an operator is max(FLOP / rate, bytes / bandwidth) plus the overhead of its dispatches. Named devices use \
their vendors' peak rates, so real times are longer. --calibrated uses rates measured on this device. A prediction needs \
no weights.

Examples:
  understory predict --model llama-3.1-8b --device h100-sxm --dtype bf16 --input 1024 --output 256
  understory predict --model llama-3.1-8b --draft llama-3.2-1b --acceptance 0.8 --device rtx-4090
  understory predict --model qwen2.5-7b --device apple-m4-max --dtype int4 --batch 4
  understory predict --model llama-3.1-70b --device h100-sxm --tensor-parallel 4 --lora 16
  understory predict --model tales --calibrated --check
  understory predict --calibrated --save-profile this.json
  understory predict --model pythia-410m --device this.json --json | jq .tpot_ms
  understory predict --explain tpot_ms";

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Model: a name of --list-models, a folder with a config.json, a config.json, a GGUF file, or a repository in the hub's
    /// cache
    #[arg(short, long, value_name = "MODEL", default_value = "tales")]
    pub model: String,
    /// Draft model, named as for --model
    #[arg(long, value_name = "MODEL", requires = "acceptance")]
    pub draft: Option<String>,
    /// Data type of the weights and of the arithmetic
    #[arg(long, value_enum, default_value_t = PrecisionArg::F16)]
    pub dtype: PrecisionArg,

    /// Device: a name of --list-devices, or a JSON file in the format of --list-devices --json
    #[arg(long, value_name = "PROFILE", conflicts_with = "calibrated", help_heading = "Device")]
    pub device: Option<String>,
    /// Predict for this device with this engine, after measuring requests to the bundled models
    #[arg(long, help_heading = "Device")]
    pub calibrated: bool,
    /// With --calibrated: adapter, by its number in `understory devices` [default: the preferred one]
    #[arg(long, value_name = "N", requires = "calibrated", value_parser = whole::<usize>, help_heading = "Device")]
    pub adapter: Option<usize>,
    /// With --calibrated: write the measured profile to a file that --device can read
    #[arg(long, value_name = "FILE", requires = "calibrated", help_heading = "Device")]
    pub save_profile: Option<PathBuf>,
    /// With --calibrated: also run the model at sizes that the profile was not fitted to, and show the error
    #[arg(long, requires = "calibrated", help_heading = "Device")]
    pub check: bool,
    /// Reached shares of the device's peak arithmetic and bandwidth, such as 0.6,0.8 [default: the profile's]
    #[arg(long, value_name = "C,M", value_parser = shares, conflicts_with = "calibrated", help_heading = "Device")]
    pub efficiency: Option<(f64, f64)>,

    /// Prompt tokens
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = at_least_one, allow_negative_numbers = true, help_heading = "Request")]
    pub input: usize,
    /// Output tokens, including the first
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one, allow_negative_numbers = true, help_heading = "Request")]
    pub output: usize,
    /// Sequences in a batch
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = at_least_one, allow_negative_numbers = true, help_heading = "Request")]
    pub batch: usize,
    /// Prompt tokens per prefill pass [default: the profile's, else all]
    #[arg(long, value_name = "C", value_parser = at_least_one, allow_negative_numbers = true, help_heading = "Request")]
    pub chunk: Option<usize>,
    /// Devices that share each matrix product
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = at_least_one, allow_negative_numbers = true, help_heading = "Request")]
    pub tensor_parallel: usize,
    /// LoRA adapters of rank R for every matrix product of a layer, such as 16, or merged into the weights: 16,merged
    #[arg(long, value_name = "R[,merged]", value_parser = lora, help_heading = "Request")]
    pub lora: Option<Lora>,

    /// Probability that the draft's best token is accepted: one number, or one per depth, such as 0.8,0.7,0.6. The last
    /// one also counts for greater depths
    #[arg(long, value_name = "P,..", value_delimiter = ',', value_parser = share, requires = "draft", help_heading = "Speculation")]
    pub acceptance: Option<Vec<f64>>,
    /// Shares of the rejected cases in which the draft's second, third and fourth token is accepted, such as 0.3,0.1,0.05
    /// [default: the best token's share of what is left, which is optimistic]
    #[arg(long, value_name = "P,..", value_delimiter = ',', value_parser = share, requires = "draft", help_heading = "Speculation")]
    pub rank_acceptance: Option<Vec<f64>>,
    /// Time to load the draft model, in milliseconds. 0: it is loaded
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds, help_heading = "Speculation")]
    pub draft_load_ms: f64,

    /// List the known devices; --json adds the sources of their figures
    #[arg(long, group = "list", help_heading = "Output")]
    pub list_devices: bool,
    /// List the known models
    #[arg(long, group = "list", help_heading = "Output")]
    pub list_models: bool,
    /// Print the definition of a metric, such as tpot_ms
    #[arg(long, value_name = "METRIC", group = "list", help_heading = "Output")]
    pub explain: Option<String>,
    /// Print one JSON value to stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    F32,
    F16,
    Bf16,
    /// Weights and matrix products in 8 bits
    Int8,
    /// Weights in 4 bits, in blocks of 32 with a scale; arithmetic in f16
    Int4,
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::F16 => Self::F16,
            PrecisionArg::Bf16 => Self::Bf16,
            PrecisionArg::Int8 => Self::Int8,
            PrecisionArg::Int4 => Self::Int4,
        }
    }
}

fn lora(value: &str) -> Result<Lora, String> {
    let (rank, merged) = match value.split_once(',') {
        None => (value, false),
        Some((rank, "merged")) => (rank, true),
        Some(_) => return Err("expected a rank, or a rank and `merged`, as in 16 or 16,merged".into()),
    };
    match at_least_one(rank) {
        Ok(rank) => Ok(Lora { rank, merged }),
        Err(_) => Err(format!("the rank is `{rank}`; expected a whole number, 1 or more")),
    }
}

fn share(value: &str) -> Result<f64, String> {
    let share = value.trim().parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1, such as 0.8".into())
}

fn shares(value: &str) -> Result<(f64, f64), String> {
    let share = |text: &str| text.trim().parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    let both = value.split_once(',').and_then(|(compute, memory)| share(compute).zip(share(memory)));
    both.ok_or_else(|| "expected two shares above 0 and up to 1, as in 0.6,0.8".into())
}

fn milliseconds(value: &str) -> Result<f64, String> {
    let ms = value.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0);
    ms.ok_or_else(|| "expected a time in milliseconds, 0 or more, such as 12.5".into())
}
