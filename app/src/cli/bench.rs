//! Arguments of the latency lab: measuring, and comparing what was measured.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use understory_lab::report::{Limits, StartState};
use understory_lab::scenario::NAMES;

use super::LoadArgs;
use super::speculation::{DraftArgs, MethodName};

pub const BENCH_EXAMPLES: &str = "\
Scenarios: quick (compares devices in a minute), dynatree (compares methods by length), single-request (cold and warm \
starts), pair (whether a draft model pays), position (time by position). Methods alternate, and every second round runs \
in reverse order, so that a device that slows down favours no method. A cold start is a process of its own with empty \
shader caches.

--out DIR writes report.json (all data), samples.csv, report.md and report.html. Ctrl-C keeps the finished runs: the \
report is marked as partial, and the exit status is 130.

Examples:
  understory bench
  understory bench dynatree --out runs/dynatree
  understory bench single-request --runs 10 --out runs/starts
  understory bench --methods ar,tree,auto --lengths 50,200 --prompts prompts.jsonl --out runs/mine
  understory bench --goodput 200,20
  understory bench --explain tpot_ms

The file of prompts has one JSON object a line: {\"id\": \"fox\", \"text\": \"The quick brown fox\"}. The id is optional.";

pub const COMPARE_EXAMPLES: &str = "\
Cases are compared if model files, prompt, length, method, sampling and start state are equal. Others are listed with \
the reason. Ratios are relative to the first file. A ratio whose interval contains 1 is a tie.

Examples:
  understory compare laptop/report.json phone/report.json
  understory compare before.json after.json --html compare.html
  understory compare *.json --json | jq .";

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Scenario to measure
    #[arg(value_parser = PossibleValuesParser::new(NAMES), default_value = NAMES[0])]
    pub scenario: String,
    /// Methods to measure, with default parameters, such as ar,tree. ar is the baseline [default: the scenario's]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "METHODS")]
    pub methods: Vec<MethodName>,
    /// File of prompts, used without a chat template [default: the scenario's]
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// New tokens of a run, such as 64 or 20,100,300 [default: the scenario's]
    #[arg(long, value_delimiter = ',', value_name = "N,N", value_parser = one_or_more, allow_negative_numbers = true)]
    pub lengths: Vec<usize>,
    /// Measured runs of each case. Intervals need 6 or more [default: the scenario's, 10]
    #[arg(long, value_name = "N", value_parser = one_or_more, allow_negative_numbers = true)]
    pub runs: Option<usize>,
    /// Start states to measure, such as cold,warm [default: the scenario's]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATES")]
    pub start: Vec<StartName>,
    /// Limits of TTFT and TPOT in milliseconds, such as 500,50. Goodput is the share of requests within both
    #[arg(long, value_name = "TTFT,TPOT", value_parser = limits)]
    pub goodput: Option<Limits>,
    /// Name of this device in the report [default: adapter and processor]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Print the definition of a metric, such as ttft_ms or speed_up, or of `all`, and measure nothing
    #[arg(long, value_name = "METRIC")]
    pub explain: Option<String>,
    /// Write report.json, samples.csv, report.md and report.html to this folder
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Add the report to the collection (see `understory reports`)
    #[arg(long, help_heading = "Output")]
    pub save: bool,
    /// File of the collection [default: reports.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", requires = "save", help_heading = "Output")]
    pub db: Option<PathBuf>,
    /// Print the report as one JSON object to stdout instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub draft: DraftArgs,
}

/// Of one start; the request comes on stdin.
#[derive(Debug, Args)]
pub struct BenchStartArgs {
    /// Unix time at which the process was started
    #[arg(long, value_name = "MS")]
    pub spawned_ms: f64,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub draft: DraftArgs,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Report files. The first is the reference
    #[arg(required = true, num_args = 1.., value_name = "REPORT")]
    pub reports: Vec<PathBuf>,
    /// Write the comparison as an HTML page
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Print one JSON object to stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Start states that a program can be in; its models never need a first visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StartName {
    /// A new process with empty caches of shaders and costs
    Cold,
    /// A new process with the caches that the previous start left
    #[value(alias = "warm_cache")]
    WarmCache,
    /// A running process whose model is loaded and was used
    Warm,
}

impl From<StartName> for StartState {
    fn from(name: StartName) -> Self {
        match name {
            StartName::Cold => Self::Cold,
            StartName::WarmCache => Self::WarmCache,
            StartName::Warm => Self::Warm,
        }
    }
}

fn limits(value: &str) -> Result<Limits, String> {
    let parsed = value.split(',').map(|part| part.trim().parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms > 0.0));
    match parsed.collect::<Option<Vec<f64>>>().as_deref() {
        Some(&[ttft_ms, tpot_ms]) => Ok(Limits { ttft_ms, tpot_ms }),
        _ => Err("expected two times in milliseconds above 0, for TTFT and TPOT, such as 500,50".into()),
    }
}

fn one_or_more(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(0) => Err("nothing would be measured; expected 1 or more".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("expected a whole number, 1 or more".into()),
    }
}
