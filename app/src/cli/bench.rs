//! Arguments of the latency lab: measuring, and comparing what was measured.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use understory_lab::report::{Limits, StartState};
use understory_lab::scenario::NAMES;

use super::LoadArgs;
use super::speculation::{DraftArgs, MethodName};

pub const BENCH_EXAMPLES: &str = "\
Scenarios: quick (a minute, to compare devices), dynatree (methods by length), single-request (cold and warm starts), \
pair (is the draft worth it), position (time by position). Methods take turns, and every second round runs backwards, \
so that a device that gets slower favours none. Cold starts are processes of their own with empty shader caches.

--out DIR writes report.json (everything, with every run), samples.csv, report.md and report.html. Ctrl-C keeps what \
was measured; the report says that it is partial, and the exit status is 130.

Examples:
  understory bench
  understory bench dynatree --out runs/dynatree
  understory bench single-request --runs 10 --out runs/starts
  understory bench --methods ar,tree,auto --lengths 50,200 --prompts prompts.jsonl --out runs/mine
  understory bench --goodput 200,20
  understory bench --explain tpot_ms

A line of the file of prompts: {\"id\": \"fox\", \"text\": \"The quick brown fox\"} (the id may be left out).";

pub const COMPARE_EXAMPLES: &str = "\
Only like is compared with like: the same model files, prompt, length, method, sampling and start. What cannot be \
compared is named with the reason. A ratio is to the first file; it is a tie where its interval holds 1.

Examples:
  understory compare laptop/report.json phone/report.json
  understory compare before.json after.json --html compare.html
  understory compare *.json --json | jq .";

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_parser = PossibleValuesParser::new(NAMES), default_value = NAMES[0])]
    pub scenario: String,
    /// Methods in place of the scenario's, each with its default parameters; ar is the baseline of the others
    #[arg(long, value_enum, value_delimiter = ',', value_name = "METHODS")]
    pub methods: Vec<MethodName>,
    /// Prompts in place of the scenario's: one JSON object a line with `text` and perhaps `id`, taken as they are
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// New tokens of a run, in place of the scenario's: 64 or 20,100,300
    #[arg(long, value_delimiter = ',', value_name = "N,N", value_parser = one_or_more)]
    pub lengths: Vec<usize>,
    /// Measured runs of each case [default: the scenario's, 10]; intervals need 6
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub runs: Option<usize>,
    /// Start states, in place of the scenario's
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATES")]
    pub start: Vec<StartName>,
    /// Limits of TTFT and TPOT in milliseconds: the report then tells the share of requests within both, the goodput
    #[arg(long, value_name = "TTFT,TPOT", value_parser = limits)]
    pub goodput: Option<Limits>,
    /// What this device is called in the report [default: processor and adapter]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Say exactly what a figure means, such as ttft_ms or speed_up, and measure nothing; `all` for every one
    #[arg(long, value_name = "METRIC")]
    pub explain: Option<String>,
    /// Write report.json, samples.csv, report.md and report.html to this folder
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Put the report into the collection (see `understory reports`)
    #[arg(long, help_heading = "Output")]
    pub save: bool,
    /// The collection [default: reports.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", requires = "save", help_heading = "Output")]
    pub db: Option<PathBuf>,
    /// The report as one JSON object on stdout, in place of the table
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
    /// Reports; the first is what the others are compared with
    #[arg(required = true, num_args = 1.., value_name = "REPORT")]
    pub reports: Vec<PathBuf>,
    /// Write the comparison as a page of its own
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Start states that a program can be in; its models never need a first visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StartName {
    /// A new process; caches of shaders and costs are empty
    Cold,
    /// A new process; the caches are as the start before left them
    #[value(alias = "warm_cache")]
    WarmCache,
    /// The model is resident and was used
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
        _ => Err("expected two numbers of milliseconds above 0, for TTFT and TPOT, such as 500,50".into()),
    }
}

fn one_or_more(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(0) => Err("nothing would be measured; expected 1 or more".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("expected a whole number, 1 or more".into()),
    }
}
