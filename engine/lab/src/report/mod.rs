//! A report: what was measured, on what, and the raw data. One schema for the command line and the page.
//!
//! `None` (`null` in the file) is unknown, never zero. Times are milliseconds from the moment a request was submitted
//! unless a field says otherwise. `report.schema.json` beside this folder is the same as JSON Schema; a test keeps the
//! two in step. [`read`] takes a file, also of an older version; what derives from the samples is filled in by
//! [`Report::conclude`].

mod case;
mod environment;
mod limits;
mod read;

use serde::{Deserialize, Serialize};

pub use self::case::{Acceptance, Case, CaseReport, Counts, Emissions, Phase, PromptId, Sample, StartState};
pub use self::environment::{Adapter, Build, Device, EngineBuild, Model, Models, Runtime, RuntimeKind};
pub use self::limits::{LONGEST_NAME, MOST_RUNS};
pub use self::read::{MAX_BYTES, check_size, read};
use understory_protocol::{Costs, Lossless};

/// Changes with what a field means; a field that is new and may be `null` needs no new version.
pub const VERSION: u32 = 1;

/// [`schema_hash`](super::schema::hash) of this version's JSON Schema.
pub const SCHEMA_HASH: &str = "c093bbe00bc1c622";

/// Everything about one run of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema: SchemaId,
    /// unique, made by the front end; also the default name of the file
    pub run_id: String,
    /// ISO 8601, UTC
    pub started_at: String,
    /// from the first warm-up to the end of the last run
    pub took_ms: Option<f64>,
    pub engine: EngineBuild,
    pub runtime: Runtime,
    pub device: Device,
    pub model: Models,
    pub protocol: Protocol,
    pub speculation: Option<SpeculationSetup>,
    /// how the models came to be resident that `warm` runs find: the phases that are known, in order, once a report. A
    /// measured start has its own phases in its sample.
    #[serde(default)]
    pub loading: Vec<Phase>,
    pub cases: Vec<CaseReport>,
    /// of methods to the baseline, where both ran interleaved
    #[serde(default)]
    pub ratios: Vec<Ratio>,
    /// what makes the report as a whole less comparable
    #[serde(default)]
    pub flags: Vec<Flag>,
}

/// Which schema a report follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaId {
    pub version: u32,
    /// of the JSON Schema without its descriptions
    pub hash: String,
}

impl SchemaId {
    pub fn current() -> Self {
        Self { version: VERSION, hash: SCHEMA_HASH.into() }
    }
}

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// a built-in scenario's name, or `custom`
    pub scenario: String,
    /// measured runs of each case
    pub runs: usize,
    /// runs of each case before them, of the same shape, which do not count
    pub warm_up: usize,
    /// Each round holds every method once and is reversed in the next.
    pub interleaved: bool,
    /// of all intervals
    pub confidence: f64,
    /// bootstrap resamples of an interval
    pub resamples: usize,
    /// of the bootstrap's generator
    pub seed: u64,
    /// what a request may take to count for the goodput
    #[serde(default)]
    pub limits: Option<Limits>,
}

impl Protocol {
    /// For people: `10 runs of each case after 1 that does not count`.
    pub fn words(&self) -> String {
        let runs = if self.runs == 1 { "run" } else { "runs" };
        let count = if self.warm_up == 1 { "does not count" } else { "do not count" };
        format!("{} {runs} of each case after {} that {count}", self.runs, self.warm_up)
    }
}

/// What a request may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub ttft_ms: f64,
    pub tpot_ms: f64,
}

impl Limits {
    /// For people.
    pub fn words(&self) -> String {
        format!(
            "Goodput: the share of runs with a TTFT of {} ms and a TPOT of {} ms at most.",
            self.ttft_ms, self.tpot_ms
        )
    }
}

/// What speculation stands on, on this device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeculationSetup {
    /// what the self-test found
    pub lossless: Lossless,
    /// what passes cost
    pub costs: Option<Costs>,
}

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// the median, or what is computed from medians
    pub value: f64,
    /// low and high end; `None`: too few runs to say
    pub interval: Option<[f64; 2]>,
    /// runs behind it
    pub n: usize,
}

impl Estimate {
    pub(super) fn new(value: f64, interval: Option<[f64; 2]>, n: usize) -> Self {
        Self { value: short(value), interval: interval.map(|ends| ends.map(short)), n }
    }

    /// Whether `value` is one that the data do not rule out; `None`: there is no interval.
    pub fn covers(&self, value: f64) -> Option<bool> {
        self.interval.map(|[low, high]| (low..=high).contains(&value))
    }

    /// One over it: a speed-up from a ratio of times.
    pub fn inverse(&self) -> Estimate {
        let interval = self.interval.map(|[low, high]| [1.0 / high, 1.0 / low]);
        Estimate::new(1.0 / self.value, interval, self.n)
    }
}

/// A metric over a case's runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    /// id of a [`Metric`](super::metrics::Metric)
    pub metric: String,
    pub median: Estimate,
    /// of a metric that is better the lower it is; ascending, those for which the runs are enough
    #[serde(default)]
    pub tail: Vec<Quantile>,
}

/// A share of the runs, and the value that it does not exceed (nearest rank).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    pub share: f64,
    pub value: f64,
}

impl Quantile {
    pub(super) fn new(share: f64, value: f64) -> Self {
        Self { share, value: short(value) }
    }
}

/// To nine digits: beyond them the last bits of `ln` and `exp` differ between devices.
fn short(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

/// One case against another of the same report, run in turns with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    pub metric: String,
    /// index in `cases`
    pub case: usize,
    /// index in `cases`
    pub baseline: usize,
    /// the case's median over the baseline's
    pub ratio: Estimate,
}

/// Something to know before believing a figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    pub kind: FlagKind,
    /// in words, with the figures behind it
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlagKind {
    /// The device became slower or faster while it was measured.
    Drift,
    /// Runs lie far from the median of their case.
    Outliers,
    /// Single gaps within a run lie far from the run's own median gap.
    Stalls,
    /// The tab was hidden at some moment.
    Hidden,
    DebugBuild,
    /// A CPU imitated a GPU.
    SoftwareAdapter,
    /// Something else was computing at the same time.
    Load,
    OnBattery,
    /// The system said that it was slowing down to stay cool, or saving power.
    Throttled,
    /// The clock's steps are not small against what was measured.
    CoarseTimer,
    /// Acceptance was injected: the text is not the target's.
    Synthetic,
    /// fewer runs than an interval is worth
    FewRuns,
    /// Texts that should be the same are not.
    OutputDiffers,
    /// Tokens of the prompt were still in the KV cache.
    PromptReused,
    /// Fewer runs were made than were planned.
    Partial,
    /// Caches that a cold start must not find may have been there.
    CachesKept,
}
