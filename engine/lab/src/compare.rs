//! Two or more reports side by side: only like with like, each ratio with its interval, and ties said to be ties.
//!
//! The result is data, for a table or a chart. Reports are measured apart, so nothing here is interleaved: what differs
//! between two sessions of one device is in the ratio as well.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use understory_protocol::foreign::shown;
use understory_protocol::{Error, Method, Result};

use super::metrics::{Better, Metric};
use super::report::{CaseReport, Estimate, Flag, Model, Models, Report, StartState};
use super::statistics::{Bootstrap, Group, Resampler};

/// What a comparison shows: metrics in which more or less is better, and those that explain them.
const SHOWN: [Metric; 10] = [
    Metric::Ttft,
    Metric::StartTtft,
    Metric::PaintTtft,
    Metric::Tpot,
    Metric::Itl,
    Metric::E2el,
    Metric::PrefillRate,
    Metric::OutputRate,
    Metric::AcceptanceLength,
    Metric::PeakGpuBytes,
];

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// one a report, in the order in which they were given
    pub columns: Vec<Column>,
    /// cases that at least two reports have; cold before warm
    pub cases: Vec<ComparedCase>,
    /// cases that only one report has, in words
    pub alone: Vec<String>,
    /// what was computed otherwise than the first report states, in words
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    pub run_id: String,
    pub label: String,
    /// `native vulkan`, `Chromium 142 webgpu`
    pub runtime: String,
    pub adapter: Option<String>,
    pub started_at: String,
    /// `None`: it stands beside the first report
    pub refused: Option<Refusal>,
    pub flags: Vec<Flag>,
}

/// Why a report is shown and not ranked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub differences: Vec<Difference>,
}

/// What differs from the first report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `target weights`, `tokenizer`, `schema`
    pub what: String,
    /// in the first report; `None`: not known, and what is not known cannot be the same
    pub first: Option<String>,
    /// in this one
    pub here: Option<String>,
}

/// One case over the reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedCase {
    pub hash: String,
    pub prompt: String,
    pub max_new_tokens: usize,
    pub method: Method,
    pub temperature: f32,
    pub start: StartState,
    pub rows: Vec<Row>,
}

/// One metric of a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// a metric's id
    pub metric: String,
    /// one a column; `None`: not measured there, or refused
    pub cells: Vec<Option<Cell>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub median: Estimate,
    /// to the first report that has it: above 1 is more, not better
    pub to_first: Estimate,
    pub standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// alone at the front
    Best,
    /// It shares the front: the interval of its ratio to the best median holds 1, or there is none.
    Tied,
    Behind,
    /// There is no better or worse.
    NotRanked,
}

/// Compares `reports` with the first of them.
///
/// # Errors
/// [`Error::BadParameter`] for fewer than two reports, and where none can stand beside the first: the message names what
/// differs.
pub fn compare(reports: &[Report]) -> Result<Comparison> {
    let bad = |value: String, expected| Err(Error::BadParameter { name: "reports", value, expected });
    let [first, others @ ..] = reports else { return bad("none".into(), "two or more") };
    if others.is_empty() {
        return bad("1".into(), "two or more");
    }
    let columns: Vec<Column> = reports.iter().map(|report| column(first, report)).collect();
    let refused: Vec<&Refusal> = columns.iter().filter_map(|column| column.refused.as_ref()).collect();
    if let (Some(refusal), true) = (refused.first(), refused.len() == others.len()) {
        return bad(refusal.to_string(), "reports of the same models, tokenizer and schema");
    }
    let mut of_case: BTreeMap<(StartState, usize, &str), Vec<Option<&CaseReport>>> = BTreeMap::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (nth, report) in reports.iter().enumerate().filter(|(nth, _)| columns[*nth].refused.is_none()) {
        for of in &report.cases {
            let hash = of.case.hash.as_str();
            let next = places.len();
            let place = *places.entry(hash).or_insert(next);
            let row = of_case.entry((of.case.start, place, hash)).or_insert_with(|| vec![None; reports.len()]);
            row[nth] = Some(of);
        }
    }
    let rows: Vec<Vec<Option<&CaseReport>>> = of_case.into_values().collect();
    let stated = first.bootstrap();
    let bootstrap = stated
        .within(rows.iter().map(|row| values_drawn(row)).sum(), reports.iter().map(Report::longest).max().unwrap_or(0));
    let resampler = bootstrap.resampler();
    let (mut cases, mut alone) = (Vec::new(), Vec::new());
    for row in rows {
        let has: Vec<usize> = (0..row.len()).filter(|&nth| row[nth].is_some()).collect();
        let Some(of) = has.first().and_then(|&nth| row[nth]) else { continue };
        match has[..] {
            [only] => alone.push(format!("{}: {}", columns[only].label, of.case.label())),
            _ => cases.push(compared(&resampler, of, &row)),
        }
    }
    if cases.is_empty() {
        return bad(format!("{} without a common case", reports.len()), "reports of one scenario");
    }
    let note = (bootstrap.resamples < stated.resamples).then(|| fewer(&bootstrap, &stated));
    Ok(Comparison { columns, cases, alone, note })
}

/// Values that one resample of a case's row draws, at most: each report's for its median, and those of the best and of the
/// first once more for the ratios to them.
fn values_drawn(row: &[Option<&CaseReport>]) -> usize {
    let runs = || row.iter().flatten().map(|of| of.samples.len());
    match runs().count() {
        0 | 1 => 0,
        _ => SHOWN.len() * (runs().sum::<usize>() + 2 * runs().max().unwrap_or(0)),
    }
}

fn fewer(bootstrap: &Bootstrap, stated: &Bootstrap) -> String {
    format!(
        "There are many runs, so intervals are of {} resamples, not of {} as the first report states.",
        bootstrap.resamples, stated.resamples
    )
}

fn column(first: &Report, report: &Report) -> Column {
    let differences = differences(first, report);
    let runtime = match &report.runtime.browser {
        None => format!("native {}", report.runtime.backend),
        Some(browser) => {
            let version = browser.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            format!("{}{version} {}", browser.name, report.runtime.backend)
        }
    };
    Column {
        run_id: report.run_id.clone(),
        label: report.device.label.clone(),
        runtime,
        adapter: report.device.adapter.name.clone(),
        started_at: report.started_at.clone(),
        refused: (!differences.is_empty()).then_some(Refusal { differences }),
        flags: report.flags.clone(),
    }
}

/// What keeps `report` from standing beside `first`. Prompts and cases are compared one by one, by their hashes.
fn differences(first: &Report, report: &Report) -> Vec<Difference> {
    if std::ptr::eq(first, report) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut same = |what: &str, a: Option<String>, b: Option<String>| {
        if a.is_none() || a != b {
            found.push(Difference { what: what.into(), first: a, here: b });
        }
    };
    // Fields that came since, in one version, change nothing of what the others mean.
    same("schema", Some(first.schema.version.to_string()), Some(report.schema.version.to_string()));
    let of = |models: &Models, get: fn(&Model) -> Option<String>| get(&models.target);
    let mut both = |what, get| same(what, of(&first.model, get), of(&report.model, get));
    both("target weights", |model| model.hash.clone());
    both("tokenizer", |model| model.tokenizer_hash.clone());
    both("storage of the weights", |model| Some(model.storage()));
    match (&first.model.draft, &report.model.draft) {
        (None, None) => {}
        (Some(a), Some(b)) => same("draft weights", a.hash.clone(), b.hash.clone()),
        (a, b) => {
            let name = |model: &Option<Model>| Some(model.as_ref().map_or("none".into(), |model| model.id.clone()));
            same("draft", name(a), name(b));
        }
    }
    found
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (nth, difference) in self.differences.iter().enumerate() {
            let known = |value: &Option<String>| value.as_deref().map_or("unknown".into(), shown);
            let comma = if nth > 0 { ", " } else { "" };
            let Difference { what, first, here } = difference;
            write!(f, "{comma}{what} differ ({} against {})", known(here), known(first))?;
        }
        Ok(())
    }
}

fn compared(resampler: &Resampler, of: &CaseReport, row: &[Option<&CaseReport>]) -> ComparedCase {
    let case = &of.case;
    let rows = SHOWN.into_iter().filter_map(|metric| {
        let groups: Vec<Option<Group>> = row.iter().map(|of| group((*of)?, metric)).collect();
        let cells = cells(resampler, metric, &groups);
        let known = cells.iter().flatten().count();
        (known > 1).then(|| Row { metric: metric.id().into(), cells })
    });
    ComparedCase {
        hash: case.hash.clone(),
        prompt: case.prompt.id.clone(),
        max_new_tokens: case.max_new_tokens,
        method: case.method,
        temperature: case.sampling.temperature,
        start: case.start,
        rows: rows.collect(),
    }
}

fn group(of: &CaseReport, metric: Metric) -> Option<Group> {
    Group::new(&of.values(metric).map(|(_, value)| value).collect::<Vec<_>>())
}

fn cells(resampler: &Resampler, metric: Metric, groups: &[Option<Group>]) -> Vec<Option<Cell>> {
    let medians: Vec<Option<Estimate>> = groups.iter().map(|of| Some(resampler.median_of(of.as_ref()?))).collect();
    let known = || medians.iter().enumerate().filter_map(|(nth, median)| Some((nth, median.as_ref()?.value)));
    let best = match metric.better() {
        Better::Lower => known().min_by(|a, b| a.1.total_cmp(&b.1)),
        Better::Higher => known().max_by(|a, b| a.1.total_cmp(&b.1)),
        Better::Neither => None,
    };
    let first = known().next().and_then(|(nth, _)| groups[nth].as_ref());
    let cell = |nth: usize| {
        let own = groups[nth].as_ref()?;
        let standing = match best {
            None => Standing::NotRanked,
            Some((best, _)) if best == nth => Standing::Best,
            // Without an interval nothing is shown, and a ratio that cannot be had (to a zero) is no win either.
            Some((best, _)) => match resampler.ratio_of(own, groups[best].as_ref()?).and_then(|r| r.covers(1.0)) {
                Some(false) => Standing::Behind,
                Some(true) | None => Standing::Tied,
            },
        };
        let to_first = resampler.ratio_of(own, first?)?;
        Some(Cell { median: medians[nth]?, to_first, standing })
    };
    let mut cells: Vec<Option<Cell>> = (0..groups.len()).map(cell).collect();
    // Nobody alone is the best of those who cannot be told apart.
    if cells.iter().flatten().any(|cell| cell.standing == Standing::Tied) {
        let best = cells.iter_mut().flatten().filter(|cell| cell.standing == Standing::Best);
        best.for_each(|cell| cell.standing = Standing::Tied);
    }
    cells
}

#[cfg(test)]
mod tests;
