//! Arguments of `understory predict`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use understory_protocol::{Lora, Precision};

use super::at_least_one;

pub const EXAMPLES: &str = "\
An operator takes max(FLOP / rate, bytes / bandwidth) and what its dispatches cost. Vendors' devices are taken at their \
peaks, so real times are longer; --calibrated takes what this device was measured to reach. A prediction needs no \
weights: --model takes a name of --list-models, a folder with a config.json, such a file, or a repository that is in the \
hub's cache.

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
    /// What would run: a name of --list-models, a folder with a config.json, such a file, or a repository in the hub's
    /// cache
    #[arg(short, long, value_name = "MODEL", default_value = "tales")]
    pub model: String,
    /// The smaller model that would draft, named as --model is
    #[arg(long, value_name = "MODEL", requires = "acceptance")]
    pub draft: Option<String>,
    /// How weights would be stored and computed with
    #[arg(long, value_enum, default_value_t = PrecisionArg::F16)]
    pub dtype: PrecisionArg,

    /// Where it would run: a name of --list-devices, or a JSON file in their format
    #[arg(long, value_name = "PROFILE", conflicts_with = "calibrated", help_heading = "Device")]
    pub device: Option<String>,
    /// On this device, with this engine: requests to the bundled models are measured first
    #[arg(long, help_heading = "Device")]
    pub calibrated: bool,
    /// With --calibrated: adapter, by its number in `understory devices` [default: the best one]
    #[arg(long, value_name = "N", requires = "calibrated", help_heading = "Device")]
    pub adapter: Option<usize>,
    /// With --calibrated: write the profile to a file, for --device
    #[arg(long, value_name = "FILE", requires = "calibrated", help_heading = "Device")]
    pub save_profile: Option<PathBuf>,
    /// With --calibrated: run the model too, at sizes that were not used for the profile, and show the error
    #[arg(long, requires = "calibrated", help_heading = "Device")]
    pub check: bool,
    /// Shares of the device's peaks that are reached, of arithmetic and of bandwidth [default: the profile's]
    #[arg(long, value_name = "C,M", value_parser = shares, conflicts_with = "calibrated", help_heading = "Device")]
    pub efficiency: Option<(f64, f64)>,

    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = at_least_one, help_heading = "Request")]
    pub input: usize,
    /// Tokens that follow, the first included
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one, help_heading = "Request")]
    pub output: usize,
    /// Sequences at once
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = at_least_one, help_heading = "Request")]
    pub batch: usize,
    /// Tokens of a prompt that go through together [default: all, or the profile's]
    #[arg(long, value_name = "C", value_parser = at_least_one, help_heading = "Request")]
    pub chunk: Option<usize>,
    /// Devices that share each product
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = at_least_one, help_heading = "Request")]
    pub tensor_parallel: usize,
    /// Adapters of rank R beside every product of a layer, or merged into the weights
    #[arg(long, value_name = "R[,merged]", value_parser = lora, help_heading = "Request")]
    pub lora: Option<Lora>,

    /// The chance that the draft's best guess is right: one number, or one a depth (0.8,0.7,0.6; the last also for what
    /// is deeper)
    #[arg(long, value_name = "P,..", value_delimiter = ',', requires = "draft", help_heading = "Speculation")]
    pub acceptance: Option<Vec<f64>>,
    /// Of what the best guess misses, the shares that the second, third and fourth guess hit [default: each hits as much
    /// of what is left as the best does of all, which is optimistic]
    #[arg(long, value_name = "P,..", value_delimiter = ',', requires = "draft", help_heading = "Speculation")]
    pub rank_acceptance: Option<Vec<f64>>,
    /// Time to bring the draft onto the device [default: it is there]
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds, help_heading = "Speculation")]
    pub draft_load_ms: f64,

    /// The devices known by name, with where their figures come from in --json
    #[arg(long, group = "list", help_heading = "Output")]
    pub list_devices: bool,
    /// The models known by name
    #[arg(long, group = "list", help_heading = "Output")]
    pub list_models: bool,
    /// What a figure means
    #[arg(long, value_name = "METRIC", group = "list", help_heading = "Output")]
    pub explain: Option<String>,
    /// One JSON value on stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    F32,
    F16,
    Bf16,
    /// weights and products in 8 bits
    Int8,
    /// weights in 4 bits, in blocks of 32 with a scale, computed in f16
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
        Err(_) => Err(format!("the rank is `{rank}`; expected a whole number from 1 on")),
    }
}

fn shares(value: &str) -> Result<(f64, f64), String> {
    let share = |text: &str| text.trim().parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    let both = value.split_once(',').and_then(|(compute, memory)| share(compute).zip(share(memory)));
    both.ok_or_else(|| "expected two shares above 0 and up to 1, as in 0.6,0.8".into())
}

fn milliseconds(value: &str) -> Result<f64, String> {
    let ms = value.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0);
    ms.ok_or_else(|| "expected a time in milliseconds, 0 or more".into())
}
