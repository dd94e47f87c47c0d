//! `understory kernels`: how fast each kernel is here, against what the device can copy and compute; or their text.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use understory_lab::predict::models::model;
use understory_model::MeasuredShape;
use understory_model::config::ModelConfig;
use understory_model::weights::ModelWeights;
use understory_protocol::figures::rounded;
use understory_protocol::{AdapterReport, Dtype};
use understory_runtime::bench::{self, KernelOptions, KernelReport, KernelRow, ROUND_ROWS, Subject, VerifyPoint};
use understory_runtime::gpu::Gpu;
use understory_runtime::kernels::modules;

use crate::cli::KernelsArgs;
use crate::files;
use crate::models;
use crate::output::{self, Console};

/// Shares that are named.
const LARGEST: usize = 3;

/// The `--json` report.
#[derive(Serialize)]
struct JsonReport<'a> {
    device: &'a AdapterReport,
    #[serde(flatten)]
    report: &'a KernelReport,
}

pub fn run(args: &KernelsArgs, console: &Console) -> Result<()> {
    if let Some(folder) = &args.wgsl {
        return write_modules(folder, console);
    }
    pollster::block_on(async {
        let gpu = Gpu::open(args.device).await?;
        let dtype = args.dtype.into();
        let subject = match (&args.model, &args.shape) {
            (Some(name), _) => Some(subject(name, dtype, console)?),
            (None, Some(name)) => Some(of_shape(name)?),
            (None, None) => None,
        };
        let options = KernelOptions { subject, kernel_set: args.profile.map(Into::into), dtype };
        let bar = console.bar();
        bar.set_style(output::bar_style("{pos}/{len}"));
        bar.set_message("kernels");
        let report = bench::run(&gpu, &options, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })
        .await?;
        bar.finish_and_clear();
        let text = text(gpu.report(), &report);
        if args.json {
            console.note(text.trim_end());
            return output::json(&JsonReport { device: gpu.report(), report: &report });
        }
        output::text(&text)
    })
}

/// Sizes of a model known by name.
fn of_shape(name: &str) -> Result<Subject> {
    let bundled = MeasuredShape::Tales;
    if name.eq_ignore_ascii_case(bundled.name()) {
        return Ok(Subject::of_shape(bundled)?);
    }
    let Some(known) = model(name)? else {
        bail!("--shape {name}: expected {} or a name that `understory predict --list-models` shows", bundled.name());
    };
    Ok(Subject { name: known.name.clone(), config: known.config()?, forms: HashMap::new() })
}

/// A model's sizes and data types; its weights are not read.
fn subject(name: &str, dtype: Dtype, console: &Console) -> Result<Subject> {
    let found = models::find(name, false, console)?;
    let read = || {
        let config = ModelConfig::from_files(&*found.files)?;
        let weights = ModelWeights::open(&*found.files, &config)?;
        anyhow::Ok(Subject::of_model(found.label.clone(), config.clone(), &weights, dtype))
    };
    read().with_context(|| format!("model {name}"))
}

/// A file for each variant of each kernel.
fn write_modules(folder: &Path, console: &Console) -> Result<()> {
    files::make_folder("--wgsl", folder)?;
    let mut count = 0;
    for (name, wgsl) in modules() {
        files::write(&folder.join(format!("{name}.wgsl")), wgsl)?;
        count += 1;
    }
    console.note(&format!("{count} modules in {}", folder.display()));
    Ok(())
}

fn text(device: &AdapterReport, report: &KernelReport) -> String {
    let software =
        if device.software { "\nA software adapter: these are speeds of a CPU that imitates a GPU." } else { "" };
    format!(
        "{} ({}), {} kernels, shapes of {}, weights {} from {} layers{software}\n\
         copy {} GB/s, peak {} GFLOP/s in f32 (both measured; what stays in caches can be faster than a copy)\n\n\
         {}\nA token, greedy, {}\n{}\nA pass that verifies {} rows, with a greedy choice at each, {}\n{}\nVerify curve: all products of a layer for n rows at once, relative to one row\n{}",
        device.name,
        device.backend,
        report.profile.name(),
        report.shape,
        report.dtype.name(),
        report.layers,
        rounded(report.copy.value),
        rounded(report.peak.value),
        output::columns("<<>>>>>>", &kernel_rows(&report.rows)),
        in_all(&report.token_us),
        output::columns("<>>", &pass_rows(&report.token_us)),
        ROUND_ROWS,
        in_all(&report.round_us),
        output::columns("<>>", &pass_rows(&report.round_us)),
        output::columns(">>><", &curve_rows(&report.verify)),
    )
}

fn kernel_rows(rows: &[KernelRow]) -> Vec<Vec<String>> {
    let heading =
        ["KERNEL", "SHAPE", "ROWS", "us", "GB/s", "of copy", "GFLOP/s", "of peak"].map(str::to_owned).to_vec();
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let row = |row: &KernelRow| {
        vec![
            row.kernel.clone(),
            row.shape.clone(),
            row.rows.to_string(),
            rounded(row.time_us),
            rounded(row.gb_per_s),
            percent(row.share_of_copy),
            row.gflop_per_s.map_or_else(String::new, rounded),
            row.share_of_peak.map_or_else(String::new, percent),
        ]
    };
    std::iter::once(heading).chain(rows.iter().map(row)).collect()
}

/// `40.2 ms in all; most of it gate up 576 -> 3072 (29 %), qkv 576 -> 960 (16 %), attention (15 %)`
fn in_all(parts: &[(String, f64)]) -> String {
    let all: f64 = parts.iter().map(|(_, us)| us).sum();
    let mut largest: Vec<_> = parts.iter().collect();
    largest.sort_by(|a, b| b.1.total_cmp(&a.1));
    let share = |(name, us): &&(String, f64)| format!("{name} ({:.0} %)", 100.0 * us / all);
    let largest: Vec<String> = largest.iter().take(LARGEST).map(share).collect();
    format!("{} ms in all; most of it {}", rounded(all / 1e3), largest.join(", "))
}

fn pass_rows(parts: &[(String, f64)]) -> Vec<Vec<String>> {
    let all: f64 = parts.iter().map(|(_, us)| us).sum();
    let heading = ["WHAT", "ms", "share"].map(str::to_owned).to_vec();
    let row = |(name, us): &(String, f64)| vec![name.clone(), rounded(us / 1e3), format!("{:.0} %", 100.0 * us / all)];
    std::iter::once(heading).chain(parts.iter().map(row)).collect()
}

/// A bar a point; the longest is 50 characters.
fn curve_rows(curve: &[VerifyPoint]) -> Vec<Vec<String>> {
    let heading = ["ROWS", "us", "c(n)/c(1)", ""].map(str::to_owned).to_vec();
    let most = curve.iter().map(|point| point.ratio).fold(1.0, f64::max);
    let row = |point: &VerifyPoint| {
        let bar = "#".repeat((50.0 * point.ratio / most).round() as usize);
        vec![point.rows.to_string(), rounded(point.time_us), format!("{:.2}", point.ratio), bar]
    };
    std::iter::once(heading).chain(curve.iter().map(row)).collect()
}
