//! Arguments of `understory latency`.

use std::path::PathBuf;

use clap::Args;

use super::{LoadArgs, at_least_one};

pub const EXAMPLES: &str = "\
The command times each step of plain decoding over several prompt and output lengths, and fits how the time depends on \
the position. Intervals need 6 runs of a length. The safety factor needs 20 runs in total.

Examples:
  understory latency
  understory latency --prefill 32,128,512 --lengths 2,8,32,128 --runs 20 --out latency
  understory latency --report report.json --bandwidth 400
  understory latency --json | jq '.steps.chosen'";

#[derive(Debug, Args)]
pub struct LatencyArgs {
    /// Prompt lengths in tokens. Prompts are cut from a bundled text of about 1,200 words
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = at_least_one, allow_negative_numbers = true,
        default_values_t = [16_usize, 128, 512])]
    pub prefill: Vec<usize>,
    /// Output lengths in tokens, each 2 or more
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = at_least_two, allow_negative_numbers = true,
        default_values_t = [2_usize, 4, 8, 16, 32, 256])]
    pub lengths: Vec<usize>,
    /// Measured runs of each pair of lengths, after one warm-up run
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one, allow_negative_numbers = true)]
    pub runs: usize,
    /// Use the plain decoding runs of a report of `understory bench` or of the page, and measure nothing. The KV cache's
    /// bytes per token are known if --model names the report's model
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefill", "lengths", "runs"])]
    pub report: Option<PathBuf>,
    /// Memory bandwidth in GB/s (1e9 bytes) [default: measured with a copy; with --report: unknown]
    #[arg(long, value_name = "RATE", value_parser = positive, allow_negative_numbers = true)]
    pub bandwidth: Option<f64>,
    /// Print one JSON object to stdout, with every step
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
        Ok(0 | 1) => Err("expected 2 or more: the first token takes no decode step".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("expected a whole number, 2 or more".into()),
    }
}

fn positive(value: &str) -> Result<f64, String> {
    let rate = value.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected a rate above 0 in GB/s, such as 400".into())
}
