//! A report as text: its raw samples as CSV, its summary as Markdown. What is unknown stays empty.

mod samples;

pub use self::samples::csv;

use std::collections::HashMap;
use std::fmt::Write as _;

use understory_protocol::figures::rounded;
use understory_protocol::{Method, definitions};

use super::advice::{Advice, Faster, advice};
use super::metrics::Metric;
use super::report::{CaseReport, Estimate, Report, StartState};
use super::scenario::published::{self, Published};
use super::view::{named, percent};
use crate::percentiles;

/// Tables of medians with their intervals, by start state and length; what was run on what; the flags.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    let (device, runtime) = (&report.device, &report.runtime);
    let _ = writeln!(out, "# {}: {}\n", plain(&report.protocol.scenario), plain(&device.label));
    let adapter = device.adapter.name.as_deref().unwrap_or("an unknown adapter");
    let draft = report.model.draft.as_ref().map_or(String::new(), |draft| format!(" with {}", plain(&draft.id)));
    let _ = writeln!(
        out,
        "{}{draft}, {} weights, on {} ({}). Understory {}, {}. {}, methods in turns; medians with {} % intervals.\n",
        plain(&report.model.target.id),
        plain(&report.model.target.storage()),
        plain(adapter),
        plain(&runtime.backend),
        plain(&report.engine.version),
        plain(&report.started_at),
        report.protocol.words(),
        rounded(100.0 * report.protocol.confidence),
    );
    if let Some(limits) = &report.protocol.limits {
        let _ = writeln!(out, "{}\n", limits.words());
    }
    for flag in &report.flags {
        let _ = writeln!(out, "- **{}**: {}", flag_name(flag.kind), plain(&flag.detail));
    }
    for start in StartState::ALL {
        let of_start: Vec<(usize, &CaseReport)> =
            report.cases.iter().enumerate().filter(|(_, of)| of.case.start == start).collect();
        if !of_start.is_empty() {
            let _ = writeln!(out, "\n## {}\n", start.name());
            out.push_str(&table(report, &of_start));
        }
    }
    if let Some((heading, rows)) = percentiles::table(report) {
        let line =
            |cells: &[String]| format!("| {} |", cells.iter().map(|cell| plain(cell)).collect::<Vec<_>>().join(" | "));
        let rule = "---:|".repeat(heading.len() - 1);
        let _ = writeln!(out, "\n## The slowest runs\n\n{}\n\n{}\n|---|{rule}", percentiles::NOTE, line(&heading));
        rows.iter().for_each(|row| out.push_str(&(line(row) + "\n")));
    }
    let advice = advice(report);
    if !advice.is_empty() {
        let _ = writeln!(out, "\n## From which length on speculation pays\n");
        let _ = writeln!(out, "| prompt | method | break-even | faster at |\n|---|---|---|---|");
        advice.iter().for_each(|advice| out.push_str(&advised(advice)));
    }
    let answers = answers(report);
    if !answers.is_empty() {
        let _ = writeln!(out, "\n## Published\n\nOther models on other devices: what a figure means, not a target.\n");
        let _ = writeln!(out, "| | metric | published | corrected | ours | |\n|---|---|---:|---:|---|---|");
        out.push_str(&answers);
    }
    out
}

/// A row: `| once | auto | after 70.0 tokens (66.1 to 74.0) | 64: ar, 128: auto |`.
fn advised(advice: &Advice) -> String {
    let interval = match advice.interval {
        Some([low, high]) if low != high => format!(" ({low} to {high})"),
        _ => String::new(),
    };
    let name = |choice: Faster| match choice {
        Faster::Method => advice.method.name(),
        Faster::Plain => Method::Ar.name(),
        Faster::Either => "either",
    };
    let by_length: Vec<String> = advice.by_length.iter().map(|&(n, choice)| format!("{n}: {}", name(choice))).collect();
    let (prompt, method) = (plain(&advice.prompt), &advice.method);
    format!("| {prompt} | {method} | {}{interval} | {} |\n", advice.break_even, by_length.join(", "))
}

/// Metrics of the Markdown table.
const SHOWN: [Metric; 8] = [
    Metric::StartTtft,
    Metric::Ttft,
    Metric::Tpot,
    Metric::Itl,
    Metric::E2el,
    Metric::OutputRate,
    Metric::AcceptanceLength,
    Metric::Repetition,
];

fn table(report: &Report, cases: &[(usize, &CaseReport)]) -> String {
    // A request to a resident model is its own start.
    let is_start = cases.iter().any(|(_, of)| of.case.start != StartState::Warm);
    let has = |metric: &Metric| {
        (is_start || *metric != Metric::StartTtft) && cases.iter().any(|(_, of)| of.summary_of(*metric).is_some())
    };
    let shown: Vec<Metric> = SHOWN.into_iter().filter(has).collect();
    let mut out = String::from("| prompt | tokens | method | runs |");
    for metric in &shown {
        let _ = write!(out, " {} |", named(metric.definition()));
    }
    let limits = report.protocol.limits.is_some();
    let speed_ups = report.speed_ups();
    let goodput = if limits { " goodput |" } else { "" };
    let rule = "---|".repeat(shown.len() + usize::from(limits));
    let _ = writeln!(out, " speed-up |{goodput} flags |\n|---|---:|---|---:|{rule}---|---|");
    for (index, of) in cases {
        let case = &of.case;
        let (prompt, method) = (plain(&case.prompt.id), &case.method);
        let _ = write!(out, "| {prompt} | {} | {method} | {} |", case.max_new_tokens, of.samples.len());
        for metric in &shown {
            let text = of.summary_of(*metric).map_or(String::new(), |summary| estimate(&summary.median));
            let _ = write!(out, " {text} |");
        }
        let speed_up = speed_ups.get(index).map_or(String::new(), estimate);
        let flags: Vec<&str> = of.flags.iter().map(|flag| flag_name(flag.kind)).collect();
        let goodput = of.goodput.map_or(String::new(), |share| format!(" {} |", percent(share)));
        let _ = writeln!(out, " {speed_up} |{goodput} {} |", flags.join(", "));
    }
    out
}

/// Rows of published figures with ours beside them: over all prompts of a case that fits, from the least to the most.
fn answers(report: &Report) -> String {
    let mut out = String::new();
    let speed_ups = report.speed_ups();
    for figure in published::of(&report.protocol.scenario) {
        let known = definition_name(&figure);
        let corrected = figure.corrected.map_or(String::new(), rounded);
        let ours = ours(report, &speed_ups, &figure);
        let _ = writeln!(
            out,
            "| {} | {known} | {} | {corrected} | {ours} | {} |",
            figure.subject,
            rounded(figure.published),
            figure.note
        );
    }
    out
}

fn definition_name(figure: &Published) -> String {
    definitions::find(figure.metric).map_or(figure.metric.into(), named)
}

/// Ours beside a published figure, over all prompts of the cases that fit; empty where there is none.
pub fn ours(report: &Report, speed_ups: &HashMap<usize, Estimate>, figure: &Published) -> String {
    let fits = |of: &CaseReport| {
        let ours = &figure.ours;
        ours.method.is_none_or(|method| method == of.case.method)
            && ours.length.is_none_or(|length| length == of.case.max_new_tokens)
            && ours.start.is_none_or(|start| start == of.case.start)
    };
    let value = |(index, of): (usize, &CaseReport)| match Metric::find(figure.metric) {
        Some(metric) => Some(of.summary_of(metric)?.median.value),
        None if figure.metric == definitions::SPEED_UP.id => Some(speed_ups.get(&index)?.value),
        None => None,
    };
    let values: Vec<f64> = report.cases.iter().enumerate().filter(|(_, of)| fits(of)).filter_map(value).collect();
    let least = values.iter().copied().reduce(f64::min);
    match (least, values.iter().copied().reduce(f64::max)) {
        (Some(least), Some(most)) if rounded(least) != rounded(most) => {
            format!("{} to {} over {} cases", rounded(least), rounded(most), values.len())
        }
        (Some(value), _) => rounded(value),
        _ => String::new(),
    }
}

/// `7.93 (7.85 to 8.02)`.
fn estimate(estimate: &Estimate) -> String {
    let value = rounded(estimate.value);
    match estimate.interval {
        // Nothing varied, as far as is shown.
        Some([low, high]) if rounded(low) != value || rounded(high) != value => {
            format!("{value} ({} to {})", rounded(low), rounded(high))
        }
        _ => value,
    }
}

/// As people read it.
pub fn flag_name(kind: super::report::FlagKind) -> &'static str {
    use super::report::FlagKind as F;
    match kind {
        F::Drift => "drift",
        F::Outliers => "outliers",
        F::Stalls => "stalls",
        F::Hidden => "hidden",
        F::DebugBuild => "debug build",
        F::SoftwareAdapter => "software adapter",
        F::Load => "load",
        F::OnBattery => "on battery",
        F::Throttled => "throttled",
        F::CoarseTimer => "coarse timer",
        F::Synthetic => "synthetic",
        F::FewRuns => "few runs",
        F::OutputDiffers => "output differs",
        F::PromptReused => "prompt reused",
        F::Partial => "partial",
        F::CachesKept => "caches kept",
    }
}

/// Text of a file inside Markdown: no markup of its own, one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\n' | '\r' => out.push(' '),
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Limits;
    use crate::testing::report;

    #[test]
    fn limits_and_what_they_let_through_are_told() {
        let mut report = report("one", 10, |method, n| 5.0 + 4.0 * method as f64 + 0.1 * n as f64);
        assert!(!markdown(&report).contains("oodput"));
        report.protocol.limits = Some(Limits { ttft_ms: 1e3, tpot_ms: 9.45 });
        report.conclude();
        let text = markdown(&report);
        let row =
            |method: &str| text.lines().find(|line| line.starts_with(&format!("| once | 64 | {method}"))).unwrap();
        assert!(text.contains("a TTFT of 1000 ms and a TPOT of 9.45 ms at most"), "{text}");
        assert!(row("ar").contains("| 100 % |") && row("linear").contains("| 50.0 % |"), "{text}");
        assert!(text.contains("\n## The slowest runs\n") && text.contains("TPOT p90, ms"), "{text}");
    }

    /// A label that is markup, an interval around every median, and, under a scenario with published figures, those and the
    /// lengths from which on speculation pays.
    #[test]
    fn the_summary_has_medians_with_intervals() {
        let mut report = report("my | device", 10, |method, n| 10.0 - 2.0 * method as f64 + 0.5 * (n % 3) as f64);
        insta::assert_snapshot!("summary", markdown(&report));
        report.protocol.scenario = "pair".into();
        insta::assert_snapshot!("summary_beside_published_figures", markdown(&report));
    }
}
