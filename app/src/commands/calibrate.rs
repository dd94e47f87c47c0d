//! `understory calibrate`: what speculation's passes cost here.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use understory_protocol::figures::rounded;
use understory_protocol::{AdapterReport, Costs, Dtype, KernelSet};

use super::{Loaded, load};
use crate::calibration::{self, CostCalibration};
use crate::cli::CalibrateArgs;
use crate::methods;
use crate::output::{self, Console};

/// The `--json` report.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    draft: Option<&'a str>,
    device: &'a AdapterReport,
    dtype: Dtype,
    profile: KernelSet,
    costs: &'a Costs,
    /// read from the cache, not measured now
    cached: bool,
    /// `None`: not kept
    cache_file: Option<&'a Path>,
}

pub fn run(args: &CalibrateArgs, console: &Console) -> Result<()> {
    let draft = methods::draft(&args.draft, &args.load.model);
    pollster::block_on(async {
        let mut loaded = load(&args.load, draft.as_deref(), console).await?;
        let calibration = calibration::calibrate(&mut loaded.engine, args.fresh).await?;
        if args.json {
            return output::json(&Report {
                model: &loaded.label,
                draft: loaded.draft.as_deref(),
                device: loaded.device(),
                dtype: loaded.dtype,
                profile: loaded.profile,
                costs: &calibration.costs,
                cached: calibration.cached,
                cache_file: calibration.file.as_deref(),
            });
        }
        output::text(&text(&loaded, &calibration))
    })
}

fn text(loaded: &Loaded, calibration: &CostCalibration) -> String {
    let costs = &calibration.costs;
    let subject = loaded.subject();
    let draft = subject.draft.map_or_else(|| "no draft model".into(), |draft| format!("draft model {draft}"));
    let device = subject.device;
    let software =
        if device.software { "\nA software adapter: these are speeds of a CPU that imitates a GPU." } else { "" };
    let file = calibration.file.as_ref().map(|file| file.display());
    let took = match (calibration.cached, file) {
        (true, Some(file)) => {
            format!("an earlier run, {} ms (from {file}; --fresh measures anew)", rounded(costs.took_ms))
        }
        (false, Some(file)) => format!("{} ms (kept in {file})", rounded(costs.took_ms)),
        (_, None) => format!("{} ms (not kept: no cache folder; -v says more)", rounded(costs.took_ms)),
    };
    format!(
        "{}, {} weights, {draft}, on {} ({}), {} kernels{software}\n\n\
         self-test   {}\nplain step  {} ms\nfixed       {} ms a round beside its passes\nmeasured    {took}\n\n{}",
        subject.model,
        subject.types,
        device.name,
        device.backend,
        subject.profile,
        costs.lossless.meaning(),
        rounded(costs.plain_ms),
        rounded(costs.fixed_ms),
        output::columns(">>>>>", &rows(costs)),
    )
}

/// A line for each number of rows that either curve has.
fn rows(costs: &Costs) -> Vec<Vec<String>> {
    let heading = ["ROWS", "verify ms", "of a plain step", "draft level ms", "of a plain step"];
    let mut counts: Vec<usize> = costs.verify_ms.iter().chain(&costs.draft_ms).map(|&(rows, _)| rows).collect();
    counts.sort_unstable();
    counts.dedup();
    let cells = |curve: &[(usize, f64)], n: usize| match curve.iter().find(|&&(rows, _)| rows == n) {
        Some(&(_, ms)) => [rounded(ms), format!("{:.2}", ms / costs.plain_ms)],
        None => Default::default(),
    };
    let line = |n: usize| {
        let [verify, draft] = [cells(&costs.verify_ms, n), cells(&costs.draft_ms, n)];
        [n.to_string()].into_iter().chain(verify).chain(draft).collect()
    };
    std::iter::once(heading.map(str::to_owned).to_vec()).chain(counts.into_iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use understory_protocol::{Costs, Lossless};

    use crate::output::columns;

    #[test]
    fn both_curves_share_a_table() {
        let costs = Costs {
            verify_ms: vec![(1, 2.0), (8, 3.0)],
            draft_ms: vec![(1, 0.5), (2, 1.0)],
            plain_ms: 2.0,
            fixed_ms: 0.1,
            lossless: Lossless::Verified,
            took_ms: 100.0,
        };
        let table = columns(">>>>>", &super::rows(&costs));
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1..],
            [vec!["1", "2.00", "1.00", "0.500", "0.25"], vec!["2", "1.00", "0.50"], vec!["8", "3.00", "1.50"]]
        );
    }
}
