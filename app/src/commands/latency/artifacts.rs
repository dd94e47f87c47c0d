//! What `--out` writes.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Outcome, page};
use crate::files;

pub const PAGE: &str = "latency.html";

pub fn write(folder: &Path, outcome: &Outcome) -> Result<()> {
    let json = serde_json::to_string(outcome).context("cannot write the report as JSON")? + "\n";
    let files = [("latency.json", json), ("steps.csv", csv(outcome)), (PAGE, page::page(outcome))];
    files.iter().try_for_each(|(name, text)| files::write(&folder.join(name), text))
}

/// One line a step.
fn csv(outcome: &Outcome) -> String {
    let mut out = String::from("round,prefill,n_out,token,context,steady,ms\n");
    for trace in &outcome.traces {
        for (nth, ms) in trace.steps_ms.iter().enumerate() {
            let (token, context, steady) = (nth + 2, trace.prefill + nth + 1, nth >= trace.lone);
            let _ =
                writeln!(out, "{},{},{},{token},{context},{steady},{ms:.4}", trace.round, trace.prefill, trace.n_out());
        }
    }
    out
}
