//! `understory latency`: what the time of a decode step depends on.

mod artifacts;
mod chart;
mod measure;
mod page;
mod tables;

use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;
use understory_lab::position::{self, Analysis, Memory, Trace, kv_bytes_per_token};
use understory_model::config::ModelConfig;
use understory_protocol::{Dtype, KvDtype};

use crate::cli::LatencyArgs;
use crate::files;
use crate::models::find;
use crate::output::{self, Console};
use crate::outputs::Outputs;
use crate::report::file;

/// What is measured and what is concluded: the `--json` report and `latency.json`.
#[derive(Serialize)]
pub struct Outcome {
    /// of this format
    format: &'static str,
    format_version: u32,
    understory: &'static str,
    subject: Subject,
    #[serde(flatten)]
    analysis: Analysis,
    traces: Vec<Trace>,
}

/// What ran where.
#[derive(Serialize)]
pub struct Subject {
    model: String,
    dtype: Dtype,
    device: String,
    /// A CPU imitates a GPU.
    software: bool,
    /// id of the report that the runs are from; `None`: measured by this command
    report: Option<String>,
}

pub fn run(args: &LatencyArgs, console: &Console) -> Result<()> {
    // Minutes of measuring are not lost to a folder that cannot be written.
    args.out.as_deref().map(|folder| files::make_folder("--out", folder)).transpose()?;
    let (subject, traces, memory) = match &args.report {
        Some(file) => from_report(args, file, console)?,
        None => pollster::block_on(measure::measure(args, console))?,
    };
    let analysis = position::analyse(&traces, &memory);
    let understory = env!("CARGO_PKG_VERSION");
    let outcome = Outcome { format: "understory-latency", format_version: 1, understory, subject, analysis, traces };
    let mut outputs = Outputs::default();
    outputs.attempt(match args.json {
        true => output::json(&outcome),
        false => output::text(&tables::text(&outcome)),
    });
    if let Some(folder) = &args.out
        && artifacts::write(folder, &outcome, &mut outputs)
    {
        console.note(&format!("charts: {}", folder.join(artifacts::PAGE).display()));
    }
    outputs.end(Ok(()))
}

/// The runs of plain decoding in a report's file.
fn from_report(args: &LatencyArgs, path: &Path, console: &Console) -> Result<(Subject, Vec<Trace>, Memory)> {
    let name = path.display();
    let (report, _) = file::open(path)?;
    let traces = position::traces(&report);
    if traces.is_empty() {
        bail!(
            "{name} has no run to look at: expected plain decoding (`ar`) of 2 tokens or more with the model resident \
             (`warm`). Measure one with `understory bench position`, or leave out --report"
        );
    }
    let target = &report.model.target;
    let mut memory = Memory { kv_bytes_per_token: None, bandwidth_gb_per_s: args.bandwidth };
    if target.id == args.load.model {
        let found = find(&args.load.model, args.load.offline, console)?;
        let config = ModelConfig::from_files(found.files.as_ref())?;
        // Reports name the kernels alone.
        let kv_dtype = args.load.options().kv_dtype.unwrap_or(KvDtype::of(report.device.adapter.kernels));
        memory.kv_bytes_per_token = Some(kv_bytes_per_token(&config, kv_dtype));
    }
    let subject = Subject {
        model: target.id.clone(),
        dtype: target.dtype,
        device: report.device.label.clone(),
        software: report.device.adapter.software,
        report: Some(report.run_id.clone()),
    };
    Ok((subject, traces, memory))
}
