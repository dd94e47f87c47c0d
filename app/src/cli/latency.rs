//! Arguments of `understory latency`.

use std::path::PathBuf;

use clap::Args;

use super::{LoadArgs, at_least_one};

pub const EXAMPLES: &str = "\
Times each step of plain decoding, over prompts and outputs of several lengths in turns, and says what a step's time \
depends on. Intervals need 6 runs, a safety factor 20 runs of all lengths together.

Examples:
  understory latency
  understory latency --prefill 32,128,512 --lengths 2,8,32,128 --runs 20 --out latency
  understory latency --report report.json --bandwidth 400
  understory latency --json | jq '.steps.chosen'";

#[derive(Debug, Args)]
pub struct LatencyArgs {
    /// Tokens of the prompts, cut from a text inside the program (about 1,200 words)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = at_least_one,
        default_values_t = [16_usize, 128, 512])]
    pub prefill: Vec<usize>,
    /// Tokens to generate, each 2 or more
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = at_least_two,
        default_values_t = [2_usize, 4, 8, 16, 32, 256])]
    pub lengths: Vec<usize>,
    /// Measured runs of each pair of lengths, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub runs: usize,
    /// Take the runs of plain decoding from a report of `understory bench` or of the page, and measure nothing. What
    /// the KV cache holds for a token is known where --model names the report's model
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefill", "lengths", "runs"])]
    pub report: Option<PathBuf>,
    /// Memory bandwidth in GB/s (1e9 bytes) [default: that of a copy, measured here; with --report unknown]
    #[arg(long, value_name = "RATE", value_parser = positive, allow_negative_numbers = true)]
    pub bandwidth: Option<f64>,
    /// One JSON object on stdout, with every step
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Write latency.json, steps.csv and latency.html (charts) to this folder
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArgs,
}

fn at_least_two(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(0 | 1) => Err("the first token takes no decode step; expected 2 or more".into()),
        Ok(n) => Ok(n),
        Err(error) => Err(error.to_string()),
    }
}

fn positive(value: &str) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        Ok(_) => Err("expected a rate above 0, in GB/s".into()),
        Err(error) => Err(error.to_string()),
    }
}
