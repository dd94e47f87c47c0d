//! A report as tables and charts see it: cases in groups in which only the method differs, with short names.

use std::collections::HashMap;

use understory_charts::COLOURS;
use understory_protocol::definitions::{self as d, Definition};
use understory_protocol::figures::rounded;
use understory_protocol::{Method, Schedule};

use crate::advice::{Advice, Faster, advice};
use crate::metrics::Metric;
use crate::rendering;
use crate::report::{CaseReport, Estimate, Report, StartState};
use crate::scenario::published::{self, Published};

pub struct View<'a> {
    pub report: &'a Report,
    /// in the order of the cases
    pub methods: Vec<Method>,
    groups: Vec<Group>,
    /// by case
    speed_ups: HashMap<usize, Estimate>,
    advice: Vec<Advice>,
}

/// Cases of one prompt, length, sampling and start.
pub struct Group {
    /// indices
    pub cases: Vec<usize>,
}

/// A published figure with ours beside it.
pub struct Answer {
    pub figure: Published,
    /// what was published, with the length where the document has several
    pub subject: String,
    /// which of our cases stands beside it
    pub beside: String,
    pub metric: String,
    pub ours: String,
}

impl<'a> View<'a> {
    pub fn new(report: &'a Report) -> Self {
        let mut methods = Vec::new();
        for of in &report.cases {
            if !methods.contains(&of.case.method) {
                methods.push(of.case.method);
            }
        }
        let (groups, speed_ups, advice) = (groups(report), report.speed_ups(), advice(report));
        Self { report, methods, groups, speed_ups, advice }
    }

    pub fn case(&self, index: usize) -> &'a CaseReport {
        &self.report.cases[index]
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// `once, 64 tokens`, with the start where there are several.
    pub fn title(&self, group: &Group) -> String {
        let case = &self.case(group.cases[0]).case;
        let start = if self.has_several_starts() { format!(", {}", start_name(case.start)) } else { String::new() };
        format!("{}, {} tokens{start}", case.prompt.id, case.max_new_tokens)
    }

    /// A start is measured, not only requests to a resident model.
    pub fn has_starts(&self) -> bool {
        self.report.cases.iter().any(|of| of.case.start != StartState::Warm)
    }

    pub fn has_several_starts(&self) -> bool {
        self.report.cases.windows(2).any(|pair| pair[0].case.start != pair[1].case.start)
    }

    /// The method's name, with as much more as tells it from the report's others.
    pub fn short(&self, method: Method) -> String {
        let name = method.name();
        if self.methods.iter().filter(|other| other.name() == name).count() < 2 {
            return name.into();
        }
        match method {
            Method::Tree { tau: 0.0, .. } => format!("{name} unpruned"),
            Method::Tree { tau, .. } => format!("{name} tau {tau}"),
            Method::Assisted { schedule: Schedule::Heuristic { .. } } => "heuristic".into(),
            Method::Assisted { schedule: Schedule::Confidence { .. } } => "confidence".into(),
            other => other.to_string(),
        }
    }

    /// Number of the method's colour.
    pub fn colour(&self, method: Method) -> usize {
        self.methods.iter().position(|&other| other == method).unwrap_or(0) % COLOURS
    }

    pub fn median(&self, index: usize, metric: Metric) -> Option<Estimate> {
        Some(self.case(index).summary_of(metric)?.median)
    }

    /// Of TPOT over the baseline's; above 1 is faster.
    pub fn speed_up(&self, index: usize) -> Option<Estimate> {
        self.speed_ups.get(&index).copied()
    }

    /// The published figures of this scenario, with ours.
    pub fn answers(&self) -> Vec<Answer> {
        let answer = |figure: Published| {
            let metric = d::find(figure.metric).map_or_else(|| figure.metric.into(), named);
            let ours = if figure.metric == d::BREAK_EVEN.id {
                self.break_evens_of(&figure)
            } else {
                rendering::ours(self.report, &self.speed_ups, &figure)
            };
            let (method, length) = (figure.ours.method, figure.ours.length);
            let tokens = length.map_or(String::new(), |n| format!(", {n} tokens"));
            let subject = format!("{}{tokens}", figure.subject);
            let beside = method.map_or_else(|| "every method".into(), |method| method.to_string());
            Answer { figure, subject, beside, metric, ours }
        };
        published::of(&self.report.protocol.scenario).map(answer).collect()
    }

    fn break_evens_of(&self, figure: &Published) -> String {
        let fits = |advice: &&Advice| figure.ours.method.is_none_or(|method| method == advice.method);
        let mut all: Vec<String> = self.advice.iter().filter(fits).map(break_even).collect();
        all.dedup();
        all.join("; ")
    }

    /// For each method beside plain decoding with a resident model: prompt, method, from which length on it pays, and
    /// what was faster at each measured one.
    pub fn advice(&self) -> Vec<[String; 4]> {
        let row = |advice: &Advice| {
            let faster = advice.by_length.iter().map(|(length, choice)| {
                let words = match choice {
                    Faster::Method => self.short(advice.method),
                    Faster::Plain => "ar".into(),
                    Faster::Either => "either".into(),
                };
                format!("{length}: {words}")
            });
            let faster = faster.collect::<Vec<_>>().join(", ");
            [advice.prompt.clone(), self.short(advice.method), break_even(advice), faster]
        };
        self.advice.iter().map(row).collect()
    }
}

/// Each beside the first case that it is beside.
fn groups(report: &Report) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = HashMap::new();
    for (index, of) in report.cases.iter().enumerate() {
        let place = *places.entry(of.case.setting()).or_insert_with(|| {
            groups.push(Group { cases: Vec::new() });
            groups.len() - 1
        });
        groups[place].cases.push(index);
    }
    groups
}

fn break_even(advice: &Advice) -> String {
    let value = advice.break_even.to_string();
    match advice.interval.map(|ends| ends.map(|end| end.to_string())) {
        Some([low, high]) if low != value || high != value => format!("{value} ({low} to {high})"),
        _ => value,
    }
}

pub fn percent(ratio: f64) -> String {
    format!("{} %", rounded(100.0 * ratio))
}

/// `7.93 (7.85 to 8.02)`.
pub fn estimate(estimate: &Estimate) -> String {
    let value = rounded(estimate.value);
    match estimate.interval {
        Some([low, high]) => format!("{value} ({} to {})", rounded(low), rounded(high)),
        None => value,
    }
}

/// `TPOT, ms`.
pub fn named(definition: &Definition) -> String {
    match definition.unit {
        "" => definition.name.into(),
        unit if definition.name.ends_with(unit) => definition.name.into(),
        unit => format!("{}, {unit}", definition.name),
    }
}

/// As people read it.
pub fn start_name(start: StartState) -> &'static str {
    match start {
        StartState::FirstVisit => "first visit",
        StartState::Cold => "cold start",
        StartState::WarmCache => "start with kept caches",
        StartState::Warm => "model resident",
    }
}
