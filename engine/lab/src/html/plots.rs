//! The charts of a report.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};
use understory_charts::plot::{Axis, Mark, Plot, SMALL, Series};
use understory_charts::rows::{self, Dot, Dots, Stack, Strip};
use understory_charts::scale::round_up;
use understory_protocol::definitions as d;
use understory_protocol::figures::rounded;
use understory_protocol::formulas::median;

use crate::metrics::Metric;
use crate::report::{Counts, Estimate, StartState};

use super::{Table, figure};
use crate::view::{View, estimate, named, percent, start_name};

/// Every chart that the report has data for.
pub fn all(view: &View<'_>) -> Markup {
    let starts = view.has_starts();
    let dots = [
        (Metric::StartTtft, "From the start to the first text. Lower is better."),
        (Metric::Ttft, "From the request to the first text. Lower is better."),
        (Metric::Tpot, "Time for each token after the first. Lower is better."),
        (Metric::OutputRate, "Tokens over the time of the whole request. Higher is better."),
    ];
    let mut charts: Vec<Option<Markup>> = Vec::new();
    for (metric, note) in dots.into_iter().filter(|(metric, _)| starts || *metric != Metric::StartTtft) {
        charts.push(medians(view, metric, note));
    }
    charts.extend([speed_ups(view), by_length(view), gaps(view), phases(view), by_depth(view)]);
    html! { @for chart in charts.iter().flatten() { (chart) } }
}

/// Cases by their groups, where `value` has one.
fn grouped(view: &View<'_>, value: impl Fn(usize) -> Option<Estimate>) -> (Vec<Dots>, Vec<Vec<String>>) {
    let (mut groups, mut rows) = (Vec::new(), Vec::new());
    for group in view.groups() {
        let title = view.title(group);
        let mut dots = Vec::new();
        for &index in &group.cases {
            let Some(found) = value(index) else { continue };
            let method = view.case(index).case.method;
            let (name, colour) = (view.short(method), view.colour(method));
            let (value, interval) = (found.value, found.interval);
            dots.push(Dot { name, colour, value, figure: rounded(value), interval });
            rows.push(vec![title.clone(), method.to_string(), estimate(&found), found.n.to_string()]);
        }
        if !dots.is_empty() {
            groups.push(Dots { heading: title, dots });
        }
    }
    (groups, rows)
}

fn medians(view: &View<'_>, metric: Metric, note: &str) -> Option<Markup> {
    let (groups, rows) = grouped(view, |index| view.median(index, metric));
    let title = named(metric.definition());
    let heading = ["case", "method", title.as_str(), "runs"].map(String::from).into();
    let svg = rows::dots(&title, &groups, None);
    let note = format!("{note} Dots are medians, bars their intervals.");
    let table = Table { heading, rows, names: 2 };
    (!groups.is_empty()).then(|| figure(&title, &note, &svg, &[metric.definition(), &d::INTERVAL], &table))
}

fn speed_ups(view: &View<'_>) -> Option<Markup> {
    let (groups, rows) = grouped(view, |index| view.speed_up(index));
    let title = "Speed-up over plain decoding";
    let heading = ["case", "method", "speed-up", "runs"].map(String::from).into();
    let svg = rows::dots(title, &groups, Some(1.0));
    let note = "Right of the dashed line is faster. A bar that holds the line is no difference.";
    let table = Table { heading, rows, names: 2 };
    (!groups.is_empty()).then(|| figure(title, note, &svg, &[&d::SPEED_UP, &d::INTERVAL], &table))
}

/// Where a scenario has several lengths: the middle of its prompts' speed-ups.
fn by_length(view: &View<'_>) -> Option<Markup> {
    let mut found: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for (index, of) in view.report.cases.iter().enumerate().filter(|(_, of)| of.case.start == StartState::Warm) {
        let place = view.methods.iter().position(|&method| method == of.case.method)?;
        if let Some(ratio) = view.speed_up(index) {
            found.entry((place, of.case.max_new_tokens)).or_default().push(ratio.value);
        }
    }
    let mut lines: Vec<Series> = Vec::new();
    let mut rows = Vec::new();
    for (&(place, length), ratios) in &found {
        let method = view.methods[place];
        let (name, middle) = (view.short(method), median(ratios));
        rows.push(vec![
            method.to_string(),
            length.to_string(),
            rounded(middle),
            range(ratios),
            ratios.len().to_string(),
        ]);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push((length as f64, middle)),
            None => {
                lines.push(joined(name, view.colour(method), vec![(length as f64, middle)]));
            }
        }
    }
    let title = "Speed-up by length";
    let note = "New tokens against speed-up: the median over the prompts. The dashed line is plain decoding.";
    let heading = ["method", "tokens", "speed-up", "over prompts", "prompts"].map(String::from).into();
    let svg = lines_over(title, &lines, "tokens", Some(1.0));
    let several = lines.iter().any(|line| line.points.len() > 1);
    several.then(|| figure(title, note, &svg, &[&d::SPEED_UP, &d::REPETITION], &Table { heading, rows, names: 1 }))
}

fn joined(name: String, colour: usize, points: Vec<(f64, f64)>) -> Series {
    Series { name, colour, class: "", mark: Mark::Joined, points, titles: Vec::new() }
}

/// Lines over the values of x that they have, from 0 up; `reference` is a value of y.
fn lines_over(title: &str, lines: &[Series], unit: &str, reference: Option<f64>) -> Markup {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = points().map(|point| point.1).chain(reference).fold(0.0, f64::max);
    let x = Axis::of_marks(points().map(|point| point.0).collect(), unit);
    let plot = Plot { title, frame: SMALL, x, y: Axis::up_to(most, ""), reference, series: lines };
    html! { (plot.svg()) (plot.legend()) }
}

fn range(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} to {}", rounded(least), rounded(most))
}

/// Gaps of the runs with a resident model, over all prompts and lengths.
fn gaps(view: &View<'_>) -> Option<Markup> {
    let mut strips = Vec::new();
    let mut rows = Vec::new();
    for &method in &view.methods {
        let cases = view.report.cases.iter().filter(|of| of.case.method == method && of.case.start == StartState::Warm);
        let samples: Vec<_> = cases.flat_map(|of| &of.samples).collect();
        let gaps: Vec<f64> = samples.iter().flat_map(|s| s.emissions.gaps().map(|gap| gap.0)).collect();
        if gaps.is_empty() {
            continue;
        }
        let tokens: u64 = samples.iter().flat_map(|s| s.emissions.gaps().map(|gap| u64::from(gap.1))).sum();
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| rounded(sorted[((sorted.len() - 1) as f64 * share).round() as usize]);
        rows.push(vec![
            method.to_string(),
            gaps.len().to_string(),
            at(0.1),
            at(0.5),
            at(0.9),
            at(1.0),
            rounded(tokens as f64 / gaps.len() as f64),
        ]);
        strips.push(Strip { name: view.short(method), colour: view.colour(method), values: gaps });
    }
    let mut all: Vec<f64> = strips.iter().flat_map(|strip| strip.values.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    let most = *all.get((all.len().saturating_sub(1) as f64 * 0.99) as usize)?;
    // The chart's own scale ends at a round number.
    let most = round_up(most);
    let beyond = all.iter().filter(|&&gap| gap > most).count();
    let note = format!(
        "How often which time passed between two read-backs, with the model resident; a bar's height is the root of its \
         share. {beyond} of {} gaps lie beyond the right edge. With speculation a gap brings several tokens.",
        all.len()
    );
    let title = "Time between emissions, ms";
    let heading = ["method", "gaps", "10 %", "median", "90 %", "longest", "tokens a gap"].map(String::from).into();
    let svg = rows::strips(title, &strips, most);
    let definitions = [&d::ITL, &d::TOKENS_PER_EMISSION];
    Some(figure(title, &note, &svg, &definitions, &Table { heading, rows, names: 1 }))
}

/// Median of each phase, by start state and method.
fn phases(view: &View<'_>) -> Option<Markup> {
    let mut names: Vec<String> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut stacks = Vec::new();
    let mut rows = Vec::new();
    for start in StartState::ALL {
        for &method in &view.methods {
            let cases = view.report.cases.iter().filter(|of| of.case.method == method && of.case.start == start);
            let mut found: Vec<(usize, Vec<f64>)> = Vec::new();
            let mut found_at: HashMap<usize, usize> = HashMap::new();
            // What follows the first token is no part of the way to it.
            let of_first = |name: &str| name != "first step";
            for phase in cases.flat_map(|of| &of.samples).flat_map(|s| &s.phases).filter(|phase| of_first(&phase.name))
            {
                let place = *places.entry(&phase.name).or_insert_with(|| {
                    names.push(phase.name.clone());
                    names.len() - 1
                });
                let at = *found_at.entry(place).or_insert_with(|| {
                    found.push((place, Vec::new()));
                    found.len() - 1
                });
                found[at].1.push(phase.ms);
            }
            if found.is_empty() {
                continue;
            }
            let parts: Vec<(usize, f64)> = found.iter().map(|(place, values)| (*place, median(values))).collect();
            for (place, ms) in &parts {
                let texts = [start_name(start).into(), method.to_string(), names[*place].clone(), rounded(*ms)];
                rows.push(texts.into());
            }
            let state = match start {
                StartState::WarmCache => "kept caches",
                StartState::Warm => "resident",
                StartState::Cold => "cold",
                StartState::FirstVisit => "first visit",
            };
            let name = if view.methods.len() > 1 { format!("{} {state}", view.short(method)) } else { state.into() };
            let total = parts.iter().map(|part| part.1).sum();
            stacks.push(Stack { name, parts, figure: rounded(total) });
        }
    }
    let title = "Phases to the first token, ms";
    let note = "Medians of the phases, one after the other, over all prompts and lengths. With the model resident only the \
                request's own phases are left.";
    let heading = ["start", "method", "phase", "ms"].map(String::from).into();
    let svg = rows::stacks(title, &stacks, &names);
    let definitions = [&d::START_TTFT, &d::ENGINE_TTFT];
    (!stacks.is_empty()).then(|| figure(title, note, &svg, &definitions, &Table { heading, rows, names: 3 }))
}

/// Share of the rounds that reached a depth in which a token there was accepted.
fn by_depth(view: &View<'_>) -> Option<Markup> {
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    for &method in &view.methods {
        let cases = view.report.cases.iter().filter(|of| of.case.method == method);
        let Some(counts) = Counts::sum(cases.filter_map(|of| of.speculation.as_ref())) else { continue };
        let mut points = Vec::new();
        for (nth, depth) in counts.by_depth.iter().enumerate().filter(|(_, depth)| depth.offered > 0) {
            let share = depth.accepted as f64 / depth.offered as f64;
            points.push(((nth + 1) as f64, share));
            rows.push(vec![
                method.to_string(),
                (nth + 1).to_string(),
                depth.offered.to_string(),
                depth.nodes.to_string(),
                depth.accepted.to_string(),
                percent(share),
            ]);
        }
        if !points.is_empty() {
            lines.push(joined(view.short(method), view.colour(method), points));
        }
    }
    let title = "Acceptance by depth";
    let note = "Of the rounds whose tree reached a depth, the share in which a token there was accepted.";
    let heading = ["method", "depth", "rounds", "nodes", "accepted", "share"].map(String::from).into();
    let svg = lines_over(title, &lines, "depth", None);
    let definitions = [&d::ACCEPTANCE_RATE, &d::ACCEPTANCE_LENGTH];
    (!lines.is_empty()).then(|| figure(title, note, &svg, &definitions, &Table { heading, rows, names: 1 }))
}
