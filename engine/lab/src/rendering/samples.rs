//! The raw samples as CSV (RFC 4180).

use std::borrow::Cow;

use crate::metrics::Metric;
use crate::report::{Acceptance, CaseReport, Report, Sample};

/// Columns before the metrics.
const ASKED: [&str; 14] = [
    "run_id",
    "device",
    "case",
    "start",
    "prompt",
    "max_new_tokens",
    "temperature",
    "seed",
    "method",
    "acceptance",
    "round",
    "order",
    "n_prompt",
    "n_out",
];

/// One line a run: what was asked, every metric, and the emissions as `ms:tokens` pairs.
pub fn csv(report: &Report) -> String {
    let mut lines = csv::Writer::from_writer(Vec::new());
    let heading = ASKED.into_iter().chain(Metric::ALL.map(|metric| metric.id())).chain(["output_hash", "emissions"]);
    let mut write = |cells: Vec<String>| lines.write_record(cells).expect("every line has as many cells, in memory");
    write(heading.map(String::from).collect());
    for of in &report.cases {
        of.samples.iter().for_each(|sample| write(line(report, of, sample)));
    }
    let bytes = lines.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("cells are text")
}

fn line(report: &Report, of: &CaseReport, sample: &Sample) -> Vec<String> {
    let case = &of.case;
    let acceptance = match case.acceptance {
        Acceptance::Measured => "measured",
        Acceptance::Synthetic => "synthetic",
    };
    let mut cells = vec![
        cell(&report.run_id).into_owned(),
        cell(&report.device.label).into_owned(),
        cell(&case.hash).into_owned(),
        case.start.name().into(),
        cell(&case.prompt.id).into_owned(),
        case.max_new_tokens.to_string(),
        case.sampling.temperature.to_string(),
        case.sampling.seed.to_string(),
        case.method.to_string(),
        acceptance.into(),
        sample.round.to_string(),
        sample.order.to_string(),
        sample.prompt_tokens.to_string(),
        sample.emissions.n_out().to_string(),
    ];
    cells.extend(Metric::ALL.map(|metric| metric.of(sample).map_or(String::new(), |value| value.to_string())));
    let pairs = sample.emissions.at_ms.iter().zip(&sample.emissions.tokens);
    let pairs: Vec<String> = pairs.map(|(at, n)| format!("{at}:{n}")).collect();
    cells.extend([cell(&sample.output_hash).into_owned(), pairs.join(" ")]);
    cells
}

/// A text that a spreadsheet would take for a formula gets a quote before it: labels and ids come from other people's
/// files.
fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bare, full};

    #[test]
    fn a_line_a_run_with_as_many_cells_as_the_heading() {
        for report in [full(), bare()] {
            let csv = csv(&report);
            let mut lines = csv.lines();
            let heading = lines.next().unwrap();
            let runs: usize = report.cases.iter().map(|of| of.samples.len()).sum();
            assert_eq!(lines.clone().count(), runs);
            // No text of these reports holds a comma but methods' names, which are quoted where it does.
            for line in lines {
                assert_eq!(line.split(',').count(), heading.split(',').count(), "{line}");
            }
        }
        insta::assert_snapshot!(csv(&bare()));
    }

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let mut report = bare();
        report.device.label = "say \"a, b\"".into();
        report.cases[0].case.prompt.id = "=1+1".into();
        let csv = csv(&report);
        let first = csv.lines().nth(1).unwrap();
        assert!(first.starts_with("test-bare,\"say \"\"a, b\"\"\",") && first.contains(",'=1+1,"), "{first}");
    }
}
