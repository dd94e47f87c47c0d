//! A report as tables and charts see it: cases in groups in which only the method differs, with short names.

use understory_engine::figures::rounded;
use understory_engine::lab::definitions::{self as d, Definition};
use understory_engine::lab::metrics::{BreakEven, Metric};
use understory_engine::lab::rendering;
use understory_engine::lab::report::{CaseReport, Estimate, Report, StartState};
use understory_engine::lab::scenario::published::{self, Published};
use understory_engine::protocol::{Method, Schedule};

pub struct View<'a> {
    pub report: &'a Report,
    /// in the order of the cases
    pub methods: Vec<Method>,
}

/// Cases of one prompt, length, sampling and start.
pub struct Group {
    /// indices
    pub cases: Vec<usize>,
}

/// A published figure with ours beside it.
pub struct Answer {
    pub figure: Published,
    pub metric: String,
    pub ours: String,
}

/// What to use for one group.
pub struct Advice {
    pub group: usize,
    pub words: String,
    /// of each method that speculates: its name, and from which length on it pays
    pub break_even: Vec<(String, String)>,
}

impl<'a> View<'a> {
    pub fn new(report: &'a Report) -> Self {
        let mut methods = Vec::new();
        for of in &report.cases {
            if !methods.contains(&of.case.method) {
                methods.push(of.case.method);
            }
        }
        Self { report, methods }
    }

    pub fn case(&self, index: usize) -> &'a CaseReport {
        &self.report.cases[index]
    }

    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, of) in self.report.cases.iter().enumerate() {
            let group = groups.iter_mut().find(|group| self.case(group.cases[0]).case.is_beside(&of.case));
            match group {
                Some(group) => group.cases.push(index),
                None => groups.push(Group { cases: vec![index] }),
            }
        }
        groups
    }

    /// `once, 64 tokens`, with the start where there are several.
    pub fn title(&self, group: &Group) -> String {
        let case = &self.case(group.cases[0]).case;
        let start = if self.has_several_starts() { format!(", {}", start_name(case.start)) } else { String::new() };
        format!("{}, {} tokens{start}", case.prompt.id, case.max_new_tokens)
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
        self.methods.iter().position(|&other| other == method).unwrap_or(0) % 8
    }

    pub fn median(&self, index: usize, metric: Metric) -> Option<Estimate> {
        Some(self.case(index).summary_of(metric)?.median)
    }

    /// Of TPOT over the baseline's; above 1 is faster.
    pub fn speed_up(&self, index: usize) -> Option<Estimate> {
        self.ratio(index, Metric::Tpot).map(|ratio| ratio.inverse())
    }

    fn ratio(&self, index: usize, metric: Metric) -> Option<Estimate> {
        let found = self.report.ratios.iter().find(|r| r.case == index && r.metric == metric.id())?;
        Some(found.ratio)
    }

    /// The published figures of this scenario, with ours.
    pub fn answers(&self) -> Vec<Answer> {
        let answer = |figure: Published| {
            let metric = d::find(figure.metric).map_or_else(|| figure.metric.into(), named);
            let ours = if figure.metric == d::BREAK_EVEN.id {
                self.break_evens_of(&figure)
            } else {
                rendering::ours(self.report, &figure)
            };
            Answer { figure, metric, ours }
        };
        published::of(&self.report.protocol.scenario).map(answer).collect()
    }

    fn break_evens_of(&self, figure: &Published) -> String {
        let ours = &figure.ours;
        let fits = |of: &CaseReport| {
            ours.method.is_none_or(|method| method == of.case.method)
                && ours.start.is_none_or(|start| start == of.case.start)
        };
        let cases = (0..self.report.cases.len()).filter(|&index| fits(self.case(index)));
        let mut all: Vec<String> = cases.filter_map(|index| self.break_even(index)).collect();
        all.dedup();
        all.join("; ")
    }

    /// From which length on the case's method pays, in words.
    pub fn break_even(&self, index: usize) -> Option<String> {
        let baseline = self.report.ratios.iter().find(|ratio| ratio.case == index)?.baseline;
        // A start's loading is part of what has to be made good.
        let is_start = self.case(index).case.start != StartState::Warm;
        let ttft = if is_start { Metric::StartTtft } else { Metric::Ttft };
        let values = |case: usize, metric| self.case(case).values(metric).map(|(_, value)| value).collect::<Vec<f64>>();
        let [with, without] = [index, baseline].map(|case| [values(case, ttft), values(case, Metric::Tpot)]);
        let found = self.report.bootstrap().break_even([&with[0], &with[1]], [&without[0], &without[1]]);
        let (value, interval) = found?;
        let ends = interval.filter(|ends| ends.iter().any(|end| words(*end) != words(value)));
        let range = ends.map_or(String::new(), |[a, b]| format!(" ({} to {})", words(a), words(b)));
        Some(format!("{}{range}", words(value)))
    }

    /// For each group in which methods can be compared: the fastest way to its last token.
    pub fn advice(&self) -> Vec<Advice> {
        let groups = self.groups();
        let of = |(nth, group): (usize, &Group)| {
            let rest: Vec<usize> =
                group.cases.iter().copied().filter(|&case| self.ratio(case, Metric::E2el).is_some()).collect();
            let fastest = |a: &usize, b: &usize| {
                let ratio = |case| self.ratio(case, Metric::E2el).map_or(f64::INFINITY, |ratio| ratio.value);
                ratio(*a).total_cmp(&ratio(*b))
            };
            let best = rest.iter().copied().min_by(fastest)?;
            let ratio = self.ratio(best, Metric::E2el)?;
            let name = self.short(self.case(best).case.method);
            let words = match ratio.covers(1.0) {
                None => format!("too few runs to say ({name} took {} of ar's time)", percent(ratio.value)),
                Some(true) => format!("a tie: {name} took {} of ar's time", with_interval(&ratio, percent)),
                Some(false) if ratio.value < 1.0 => {
                    format!("{name}: {} of ar's time to the last token", with_interval(&ratio, percent))
                }
                Some(false) => format!("ar: the next, {name}, took {} of its time", with_interval(&ratio, percent)),
            };
            let break_even =
                rest.iter().filter_map(|&case| Some((self.short(self.case(case).case.method), self.break_even(case)?)));
            Some(Advice { group: nth, words, break_even: break_even.collect() })
        };
        groups.iter().enumerate().filter_map(of).collect()
    }
}

fn words(break_even: BreakEven) -> String {
    match break_even {
        BreakEven::Always => "always".into(),
        BreakEven::After(tokens) => format!("{} tokens", rounded(tokens)),
        BreakEven::Never => "never".into(),
    }
}

pub fn percent(ratio: f64) -> String {
    format!("{} %", rounded(100.0 * ratio))
}

/// `7.93 (7.85 to 8.02)`.
pub fn estimate(estimate: &Estimate) -> String {
    with_interval(estimate, rounded)
}

fn with_interval(estimate: &Estimate, text: impl Fn(f64) -> String) -> String {
    let value = text(estimate.value);
    match estimate.interval {
        Some([low, high]) => format!("{value} ({} to {})", text(low), text(high)),
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
        StartState::WarmCache => "start with filled caches",
        StartState::Warm => "model resident",
    }
}
