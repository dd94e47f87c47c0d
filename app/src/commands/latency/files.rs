//! What `--out` writes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Outcome, page};

pub const PAGE: &str = "latency.html";

/// Makes the folder where it is not there.
///
/// # Errors
/// Where it cannot be made or written.
pub fn make(folder: &Path) -> Result<()> {
    let cannot = || format!("cannot write to the folder {}; give another with --out", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    let probe = folder.join(format!(".understory-{}", std::process::id()));
    fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).with_context(cannot)
}

pub fn write(folder: &Path, outcome: &Outcome) -> Result<()> {
    let json = serde_json::to_string(outcome).context("cannot write the report as JSON")? + "\n";
    let files = [("latency.json", json), ("steps.csv", csv(outcome)), (PAGE, page::page(outcome))];
    files.iter().try_for_each(|(name, text)| replace(folder, name, text))
}

/// Writes beside the file, then renames, so that no reader sees half of it.
fn replace(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name);
    let beside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
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
