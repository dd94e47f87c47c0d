//! What `--out` writes.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Outcome, page};
use crate::files;
use crate::outputs::Outputs;

pub const PAGE: &str = "latency.html";

/// Whether every file was written.
pub fn write(folder: &Path, outcome: &Outcome, outputs: &mut Outputs) -> bool {
    let json = serde_json::to_string(outcome).context("cannot write the report as JSON").map(|json| json + "\n");
    let files = [("latency.json", json), ("steps.csv", csv(outcome)), (PAGE, Ok(page::page(outcome)))];
    let write = |(name, text): (&str, Result<String>)| {
        outputs.attempt(text.and_then(|text| files::write(&folder.join(name), &text)))
    };
    files.map(write).into_iter().all(|written| written)
}

/// One line a step.
fn csv(outcome: &Outcome) -> Result<String> {
    let mut lines = csv::Writer::from_writer(Vec::new());
    lines.write_record(["round", "prefill", "n_out", "token", "context", "steady", "ms"])?;
    for trace in &outcome.traces {
        let of_run = [trace.round, trace.prefill, trace.n_out()].map(|count| count.to_string());
        for (nth, ms) in trace.steps_ms.iter().enumerate() {
            let (token, context, steady) = (nth + 2, trace.prefill + nth + 1, nth >= trace.lone);
            let of_step = [token.to_string(), context.to_string(), steady.to_string(), format!("{ms:.4}")];
            lines.write_record(of_run.iter().chain(&of_step))?;
        }
    }
    String::from_utf8(lines.into_inner().context("cannot write the steps")?).context("cannot write the steps")
}
