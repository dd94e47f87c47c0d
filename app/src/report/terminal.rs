//! A report as text for a terminal.

use std::fmt::Write as _;

use understory_lab::metrics::Metric;
use understory_lab::rendering::flag_name;
use understory_lab::report::Report;
use understory_lab::view::{View, estimate, percent};
use understory_protocol::figures::rounded;
use understory_protocol::foreign::{message, shown};

use crate::output::columns;

/// Columns after the names, where some case has them.
const SHOWN: [(Metric, &str); 7] = [
    (Metric::StartTtft, "START TO TEXT ms"),
    (Metric::Ttft, "TTFT ms"),
    (Metric::Tpot, "TPOT ms"),
    (Metric::E2el, "E2EL ms"),
    (Metric::AcceptanceLength, "A ROUND"),
    (Metric::VerificationEfficiency, "EFFICIENCY"),
    (Metric::Repetition, "REPEATS"),
];

/// What was measured, on what, the medians, the published figures beside them, and what to know before believing it.
pub fn text(report: &Report) -> String {
    let view = View::new(report);
    let mut out = heading(report);
    out.push_str(&medians(&view));
    let advice = view.advice();
    if !advice.is_empty() {
        let mut rows = vec![["PROMPT", "METHOD", "PAYS", "FASTER AT TOKENS"].map(String::from).to_vec()];
        rows.extend(advice.into_iter().map(Vec::from));
        let _ = write!(out, "\nFrom which length on speculation pays, the model resident:\n{}", columns("<<<<", &rows));
    }
    out.push_str(&published(&view));
    if let Some(limits) = &report.protocol.limits {
        let _ = writeln!(out, "\n{}", limits.words());
    }
    if !report.flags.is_empty() {
        let _ = writeln!(out, "\nBefore you believe it:");
    }
    for flag in &report.flags {
        let _ = writeln!(out, "  {}: {}", flag_name(flag.kind), message(&flag.detail).replace('\n', "?"));
    }
    let _ = writeln!(out, "\nMedians with {} % intervals; --explain METRIC says what a figure means.", level(report));
    out
}

fn level(report: &Report) -> String {
    format!("{}", (1000.0 * report.protocol.confidence).round() / 10.0)
}

fn heading(report: &Report) -> String {
    let model = &report.model;
    let draft = model.draft.as_ref().map_or(String::new(), |draft| format!(" with {}", shown(&draft.id)));
    let dtype = shown(&model.target.storage());
    let (target, label) = (shown(&model.target.id), shown(&report.device.label));
    format!("{target}{draft}, {dtype} weights, on {label}\n\n")
}

fn medians(view: &View<'_>) -> String {
    let report = view.report;
    let indices = || 0..report.cases.len();
    let shown: Vec<(Metric, &str)> = SHOWN
        .into_iter()
        .filter(|&(metric, _)| indices().any(|case| view.median(case, metric).is_some()))
        .filter(|&(metric, _)| metric != Metric::StartTtft || view.has_starts())
        .collect();
    let speed_up = indices().any(|case| view.speed_up(case).is_some());
    let mut heading: Vec<String> = ["PROMPT", "TOKENS", "METHOD", "RUNS"].map(String::from).into();
    if view.has_several_starts() {
        heading.insert(2, "START".into());
    }
    heading.extend(shown.iter().map(|(_, name)| (*name).to_owned()));
    heading.extend(speed_up.then(|| "SPEED-UP".to_owned()));
    heading.extend(report.protocol.limits.map(|_| "GOODPUT".to_owned()));
    let mut rows = vec![heading];
    for group in view.groups() {
        for &index in &group.cases {
            let of = view.case(index);
            let case = &of.case;
            let mut row = vec![case.prompt.id.clone(), case.max_new_tokens.to_string()];
            if view.has_several_starts() {
                row.push(case.start.name().into());
            }
            row.extend([view.short(case.method), of.samples.len().to_string()]);
            for &(metric, _) in &shown {
                let with_interval = matches!(metric, Metric::Tpot | Metric::StartTtft);
                row.push(view.median(index, metric).map_or("-".into(), |median| match with_interval {
                    true => estimate(&median),
                    false => rounded(median.value),
                }));
            }
            if speed_up {
                row.push(view.speed_up(index).map_or("-".into(), |ratio| estimate(&ratio)));
            }
            row.extend(of.goodput.map(percent));
            rows.push(row);
        }
    }
    let names = if view.has_several_starts() { "<><<>" } else { "<><>" };
    let align: String = names.chars().chain(std::iter::repeat('>')).take(rows[0].len()).collect();
    columns(&align, &rows)
}

fn published(view: &View<'_>) -> String {
    let answers = view.answers();
    if answers.is_empty() {
        return String::new();
    }
    let mut rows = vec![["PUBLISHED FOR", "METRIC", "PUBLISHED", "CORRECTED", "OURS"].map(String::from).to_vec()];
    for answer in &answers {
        let figure = &answer.figure;
        rows.push(vec![
            answer.subject.clone(),
            answer.metric.clone(),
            rounded(figure.published),
            figure.corrected.map_or("-".into(), rounded),
            if answer.ours.is_empty() { "-".into() } else { answer.ours.clone() },
        ]);
    }
    let words = "Published figures are of other models on other devices: they show what a figure means.";
    format!("\n{words}\n{}", columns("<<>><", &rows))
}
