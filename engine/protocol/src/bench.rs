//! What is asked of and said by the latency lab. Reports cross as texts: an interface shows and saves them, and need
//! not know what is in them.

use serde::{Deserialize, Serialize};

/// A scenario to measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchRequest {
    /// a built-in's name
    pub scenario: String,
    /// measured runs of each case; `None`: the scenario's
    pub runs: Option<usize>,
    /// what the device is called; `None`: after what is known of it
    pub label: Option<String>,
    /// differs between devices: part of a run's name, for runs that begin in the same moment
    pub nonce: String,
    /// of a page whose browser is what the engine runs in; another computer's engine knows its own
    pub page: Option<PageFacts>,
}

/// What a page knows and its worker does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageFacts {
    pub browser: Option<Browser>,
    pub os: Option<String>,
    /// logical
    pub cores: Option<u32>,
    pub isolated: Option<bool>,
    pub power: Option<Power>,
    /// The tab is hidden now; [`Request::VisibilityChanged`](super::Request::VisibilityChanged) says when that changes.
    pub hidden: bool,
}

/// How far a scenario is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchStep {
    /// runs that were made, warm-ups included
    pub made: usize,
    pub runs: usize,
    /// It does not count.
    pub warm_up: bool,
    /// the case: `auto, prompt once, 64 tokens, warm`
    pub case: String,
    /// by what the runs so far took for a token; `None` before the first
    pub left_ms: Option<f64>,
}

/// A finished report, perhaps of a part of what was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benched {
    pub run_id: String,
    /// Not every planned run was made.
    pub partial: bool,
    /// `report.json`, `report.html`, `samples.csv`, `report.md`
    pub files: Vec<ReportFile>,
    /// the report for a link ([`Contents::Link`]); `None`: it has no room in one
    pub link: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFile {
    pub name: String,
    pub text: String,
}

/// A report from wherever it comes, with the name that messages call it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportInput {
    pub name: String,
    pub contents: Contents,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    Json(String),
    /// as in [`Benched::link`]
    Link(String),
}

/// Reports looked at, in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub looked: Vec<LoadedReport>,
    /// of two or more the comparison with the first, of one the report itself: a whole document without scripts
    pub html: Option<String>,
    /// why those that are reports cannot be compared
    pub problem: Option<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedReport {
    /// `None`: it is no report
    pub run_id: Option<String>,
    /// for a list: whose and of what it is, or why it is refused
    pub words: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
    pub name: String,
    pub version: Option<String>,
    pub mobile: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    pub on_battery: Option<bool>,
    pub battery_percent: Option<u32>,
    /// the system's mode, in its own words: `performance`, `powersave`
    pub mode: Option<String>,
}

/// Characters of a report in a link at most ([`Benched::link`]): browsers take as many, and so do most messengers.
pub const MAX_LINK_CHARS: usize = 60_000;
/// The largest report that an interface takes; its text goes through messages, and is in memory more than once.
pub const MAX_REPORT_BYTES: u64 = 24 << 20;
