//! `understory kernels`: how fast each kernel is here, against what the device can copy and compute.

use anyhow::Result;
use serde::Serialize;
use understory_engine::bench::kernels::{self, Report};
use understory_engine::gpu::{AdapterReport, Gpu};

use crate::cli::KernelsArgs;
use crate::output::{self, Console};
use crate::timings::rounded;

/// The `--json` report.
#[derive(Serialize)]
struct JsonReport<'a> {
    device: &'a AdapterReport,
    #[serde(flatten)]
    report: &'a Report,
}

pub fn run(args: &KernelsArgs, console: &Console) -> Result<()> {
    pollster::block_on(async {
        let gpu = Gpu::open(args.device).await?;
        let profile = args.profile.map_or(gpu.report().profile, Into::into);
        let mut bar = console.engine_progress();
        let report = kernels::run(&gpu, profile, &mut |progress| bar.show(progress)).await?;
        drop(bar);
        if args.json {
            return output::json(&JsonReport { device: gpu.report(), report: &report });
        }
        output::text(&text(gpu.report(), &report))
    })
}

fn text(device: &AdapterReport, report: &Report) -> String {
    let software = if device.software { ": a software adapter, these are speeds of a CPU" } else { "" };
    format!(
        "{} ({}), {} kernels{software}\ncopy {} GB/s, peak {} GFLOP/s (both measured)\n\n{}\n{}",
        device.name,
        device.backend,
        report.profile.name(),
        rounded(report.copy_gb_per_s),
        rounded(report.peak_gflop_per_s),
        output::columns("<<>>>>>", &kernel_rows(report)),
        output::columns(">>>", &curve_rows(report)),
    )
}

fn kernel_rows(report: &Report) -> Vec<Vec<String>> {
    let heading = ["KERNEL", "SHAPE", "us", "GB/s", "of copy", "GFLOP/s", "of peak"].map(str::to_owned).to_vec();
    let share = |part: f64, whole: f64| format!("{:.0} %", 100.0 * part / whole);
    let row = |row: &kernels::Row| {
        vec![
            row.kernel.clone(),
            row.shape.clone(),
            rounded(row.time_us),
            rounded(row.gb_per_s),
            share(row.gb_per_s, report.copy_gb_per_s),
            rounded(row.gflop_per_s),
            share(row.gflop_per_s, report.peak_gflop_per_s),
        ]
    };
    std::iter::once(heading).chain(report.rows.iter().map(row)).collect()
}

/// The cost of checking n rows at once, relative to one.
fn curve_rows(report: &Report) -> Vec<Vec<String>> {
    let heading = ["VERIFY ROWS", "us", "c(n)/c(1)"].map(str::to_owned).to_vec();
    let row = |point: &kernels::VerifyPoint| {
        vec![point.rows.to_string(), rounded(point.time_us), format!("{:.2}", point.ratio)]
    };
    std::iter::once(heading).chain(report.verify_curve.iter().map(row)).collect()
}
