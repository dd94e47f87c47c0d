//! The slowest runs, as a table: what a share of a case's runs does not exceed.

use understory_protocol::figures::rounded;

use super::metrics::Metric;
use super::report::{CaseReport, Report};

/// Metrics whose tails are told.
const SHOWN: [Metric; 4] = [Metric::StartTtft, Metric::Ttft, Metric::Tpot, Metric::E2el];

pub const NOTE: &str = "p90: nine of ten runs took no longer (nearest rank). It is given from 10 runs on, p95 from 20, p99 \
                        from 100.";

/// Heading and a row a case; `None`: no case has runs enough.
pub fn table(report: &Report) -> Option<(Vec<String>, Vec<Vec<String>>)> {
    let mut columns: Vec<(Metric, f64)> = Vec::new();
    for metric in SHOWN {
        let tails = report.cases.iter().filter_map(|of| Some(&of.summary_of(metric)?.tail));
        if let Some(longest) = tails.max_by_key(|tail| tail.len()) {
            columns.extend(longest.iter().map(|quantile| (metric, quantile.share)));
        }
    }
    if columns.is_empty() {
        return None;
    }
    let name = |&(metric, share): &(Metric, f64)| {
        let definition = metric.definition();
        format!("{} p{:.0}, {}", definition.name, 100.0 * share, definition.unit)
    };
    let heading = [String::from("case")].into_iter().chain(columns.iter().map(name)).collect();
    let row = |of: &CaseReport| {
        let text = |&(metric, share): &(Metric, f64)| value(of, metric, share).map_or(String::new(), rounded);
        [of.case.label()].into_iter().chain(columns.iter().map(text)).collect()
    };
    Some((heading, report.cases.iter().map(row).collect()))
}

fn value(of: &CaseReport, metric: Metric, share: f64) -> Option<f64> {
    let tail = &of.summary_of(metric)?.tail;
    tail.iter().find(|quantile| quantile.share == share).map(|quantile| quantile.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::report;

    /// The second longest of twenty is the p95, and twenty are too few for a p99. Interpolating fails this.
    #[test]
    fn a_tail_is_told_where_the_runs_are_enough() {
        assert_eq!(table(&report("few", 9, |_, n| n as f64)), None);
        let (heading, rows) = table(&report("many", 20, |_, n| 1.0 + n as f64)).unwrap();
        let at = |name: &str| heading.iter().position(|known| known == name).unwrap();
        assert_eq!(rows[0][at("TPOT p90, ms")], "18.0");
        assert_eq!(rows[0][at("TPOT p95, ms")], "19.0");
        assert!(!heading.iter().any(|name| name.contains("p99")), "{heading:?}");
    }
}
