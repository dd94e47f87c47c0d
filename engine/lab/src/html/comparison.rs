//! Reports side by side, as a page.

use maud::{Markup, html};
use understory_charts::COLOURS;
use understory_charts::rows::{self, Dot, Dots};
use understory_protocol::definitions;
use understory_protocol::figures::rounded;

use crate::compare::{Cell, ComparedCase, Comparison, Row, Standing};
use crate::metrics::{Better, Metric};
use crate::rendering::flag_name;
use crate::report::{Estimate, StartState};

use super::{Table, document, figure, meaning, wide};
use crate::view::{estimate, named, start_name};

/// Where there is room for a letter only.
pub fn letter(nth: usize) -> String {
    match u8::try_from(nth) {
        Ok(small @ 0..26) => char::from(b'A' + small).to_string(),
        _ => format!("#{}", nth + 1),
    }
}

pub fn title(case: &ComparedCase) -> String {
    let ComparedCase { prompt, max_new_tokens, method, start, temperature, .. } = case;
    let sampled = if *temperature > 0.0 { format!(", temperature {temperature}") } else { String::new() };
    format!("{prompt}, {max_new_tokens} tokens, {method}, {}{sampled}", start_name(*start))
}

/// With a resident model a start is the request.
pub fn is_told(case: &ComparedCase, row: &Row) -> bool {
    case.start != StartState::Warm || row.metric != Metric::StartTtft.id()
}

/// A metric's name with the unit in which it is shown.
pub fn name(metric: &str) -> String {
    definitions::find(metric).map_or_else(|| metric.into(), named).replace(", bytes", ", MB")
}

/// In the unit in which it is shown.
pub fn shown(metric: &str, found: &Estimate) -> Estimate {
    let by = if metric == Metric::PeakGpuBytes.id() { 1e-6 } else { 1.0 };
    let interval = found.interval.map(|ends| ends.map(|end| end * by));
    Estimate { value: found.value * by, interval, n: found.n }
}

/// What a standing is called; nothing where it goes without saying.
pub fn standing(cell: &Cell) -> &'static str {
    match cell.standing {
        Standing::Best => "best",
        Standing::Tied => "tie",
        Standing::Behind | Standing::NotRanked => "",
    }
}

/// Columns that stand beside the first.
pub fn compared(comparison: &Comparison) -> Vec<usize> {
    (0..comparison.columns.len()).filter(|&nth| comparison.columns[nth].refused.is_none()).collect()
}

/// `own`: the run that stands out, this device's.
pub fn page(comparison: &Comparison, own: Option<&str>) -> String {
    let own = comparison.columns.iter().position(|column| own == Some(column.run_id.as_str()));
    let label = |nth: usize| {
        let mark = if own == Some(nth) { " (this device)" } else { "" };
        format!("{}{mark}", comparison.columns[nth].label)
    };
    let label: Vec<String> = (0..comparison.columns.len()).map(label).collect();
    let labels: Vec<String> = label.iter().enumerate().map(|(nth, label)| format!("{} {label}", letter(nth))).collect();
    let body = html! {
        h1 { "Reports compared" }
        (reports(comparison, &label))
        @if let Some(note) = &comparison.note { p class="quiet" { (note) } }
        h2 { "Charts" }
        div class="figures" {
            @for metric in Metric::ALL {
                @if let Some(chart) = chart(comparison, metric, &labels) { (chart) }
            }
        }
        h2 { "All cases" }
        @for case in &comparison.cases {
            h3 { (title(case)) }
            (table(comparison, case, own))
        }
        @if !comparison.alone.is_empty() {
            h2 { "Only in one report" }
            ul { @for case in &comparison.alone { li { (case) } } }
        }
        (meaning(definitions::all()))
    };
    document("Reports compared", &body)
}

fn reports(comparison: &Comparison, labels: &[String]) -> Markup {
    let rows = comparison.columns.iter().enumerate().map(|(nth, column)| {
        let flags: Vec<&str> = column.flags.iter().map(|flag| flag_name(flag.kind)).collect();
        let stands = column.refused.as_ref().map_or("yes".to_owned(), |refusal| format!("no: {refusal}"));
        let adapter = column.adapter.clone().unwrap_or_else(|| "unknown".into());
        let when = column.started_at.replace('T', " ").replace('Z', " UTC");
        vec![letter(nth), labels[nth].clone(), column.runtime.clone(), adapter, when, stands, flags.join(", ")]
    });
    let heading = ["", "device", "ran in", "adapter", "measured", "compared", "before you believe it"];
    let table = Table { heading: heading.map(String::from).into(), rows: rows.collect(), names: 7 };
    table.html("Reports")
}

/// A metric over all cases that have it.
fn chart(comparison: &Comparison, metric: Metric, labels: &[String]) -> Option<Markup> {
    let better = match metric.better() {
        Better::Lower => "Lower is better.",
        Better::Higher => "Higher is better.",
        Better::Neither => "It describes, and is no merit.",
    };
    let (mut groups, mut lines) = (Vec::new(), Vec::new());
    for case in &comparison.cases {
        let Some(row) = case.rows.iter().find(|row| row.metric == metric.id() && is_told(case, row)) else { continue };
        let mut dots = Vec::new();
        for (nth, cell) in row.cells.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let median = shown(metric.id(), &cell.median);
            let value = median.value;
            dots.push(Dot {
                name: labels[nth].clone(),
                colour: (nth + 1) % COLOURS,
                value,
                figure: rounded(value),
                interval: median.interval,
            });
            let texts = [&title(case), &labels[nth], &estimate(&median), &estimate(&cell.to_first), standing(cell)];
            lines.push(texts.map(String::from).into());
        }
        groups.push(Dots { heading: title(case), dots });
    }
    let title = name(metric.id());
    let heading = ["case", "report", title.as_str(), "to the first", "standing"].map(String::from).into();
    let svg = rows::dots(&title, &groups, None);
    let note = format!("{better} Dots are medians, bars their intervals.");
    let definitions = [metric.definition(), &definitions::INTERVAL];
    (!groups.is_empty()).then(|| figure(&title, &note, &svg, &definitions, &Table { heading, rows: lines, names: 2 }))
}

/// Best values stand out, and the column of the own device.
fn table(comparison: &Comparison, case: &ComparedCase, own: Option<usize>) -> Markup {
    let compared = compared(comparison);
    let class = |nth: usize, best: bool| match (own == Some(nth), best) {
        (false, false) => "n",
        (false, true) => "n best",
        (true, false) => "n own",
        (true, true) => "n own best",
    };
    let first = compared.first();
    let text = |estimate_of: Option<Estimate>| estimate_of.as_ref().map_or("-".into(), estimate);
    let rows = case.rows.iter().filter(|row| is_told(case, row));
    let caption = title(case);
    wide(
        &caption,
        &html! {
            table {
                thead { tr {
                    th scope="col" { "metric" }
                    @for nth in &compared {
                        th scope="col" class=(class(*nth, false)) { (letter(*nth)) }
                        @if Some(nth) != first {
                            th scope="col" class="n" { (letter(*nth)) " / " (letter(compared[0])) }
                        }
                    }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (name(&row.metric)) }
                            @for nth in &compared {
                                @let cell = row.cells.get(*nth).and_then(Option::as_ref);
                                @let best = cell.is_some_and(|cell| cell.standing == Standing::Best);
                                @let word = cell.map(standing).filter(|word| !word.is_empty());
                                td class=(class(*nth, best)) {
                                    (text(cell.map(|cell| shown(&row.metric, &cell.median))))
                                    @if let Some(word) = word { ", " (word) }
                                }
                                @if Some(nth) != first { td class="n" { (text(cell.map(|cell| cell.to_first))) } }
                            }
                        }
                    }
                }
            }
        },
    )
}
