//! What a measured start is: plain data, which goes to the session's storage and to the download as it is.

use serde::{Deserialize, Serialize};
use understory_protocol::Generation;

use crate::state::choice::{DRAFT, TARGET};
use crate::state::session::StartMoments;
use crate::wording::definitions::{self as d, Definition};
use crate::wording::order::sorted_by;

/// What was there before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    FirstVisit,
    Cold,
    WarmCache,
    Warm,
}

impl State {
    pub const ALL: [State; 4] = [State::FirstVisit, State::Cold, State::WarmCache, State::Warm];

    pub fn name(self) -> &'static str {
        match self {
            State::FirstVisit => "first_visit",
            State::Cold => "cold",
            State::WarmCache => "warm_cache",
            State::Warm => "warm",
        }
    }

    pub fn definition(self) -> &'static Definition {
        match self {
            State::FirstVisit => &d::FIRST_VISIT,
            State::Cold => &d::COLD,
            State::WarmCache => &d::WARM_CACHE,
            State::Warm => &d::WARM,
        }
    }

    /// Where the clock starts.
    pub fn counted_from(self) -> &'static str {
        match self {
            State::FirstVisit | State::Cold => "navigation",
            State::WarmCache => "new worker",
            State::Warm => "request",
        }
    }

    /// The page is loaded again for it.
    pub fn reloads(self) -> bool {
        matches!(self, State::FirstVisit | State::Cold)
    }
}

/// Every phase that a start can have, in order. The last is what none of the others holds.
pub const PHASES: [&str; 16] = [
    "page",
    "worker",
    "instantiate",
    "fetch",
    "hash",
    "device",
    "open",
    "upload",
    "pipelines",
    "draft open",
    "draft upload",
    "draft pipelines",
    "tokenise",
    "prefill",
    "first step",
    REMAINDER,
];
pub const REMAINDER: &str = "messages and other";

/// A start that was measured; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub state: State,
    /// ISO 8601
    pub measured_at: String,
    pub counted_from: String,
    /// to the first text's arrival in the page
    pub ttft_ms: Option<f64>,
    /// to the second token's arrival in the page, by the page's clock alone
    pub total_ms: f64,
    /// those that happened, in order; they do not overlap, and the last is the total without the others
    pub phases_ms: Vec<(String, f64)>,
    /// the target, and the draft where there is one
    pub models: Vec<String>,
    pub device: String,
    pub software: bool,
    /// prompt tokens that the KV cache still held
    pub reused_tokens: usize,
    /// Costs were measured beside this start, not handed in from an earlier one.
    pub calibrated: bool,
    /// The page's own files came from its service worker.
    pub from_service_worker: bool,
    /// how the page was loaded, as the browser's navigation timing has it
    pub navigation: String,
    /// The tab was hidden at some moment of it.
    pub hidden: bool,
    /// The page came out of the back-forward cache at some moment of it.
    pub restored: bool,
}

impl Start {
    pub fn phase_ms(&self, phase: &str) -> Option<f64> {
        self.phases_ms.iter().find(|(name, _)| name == phase).map(|&(_, ms)| ms)
    }

    /// The share of the total that no phase holds.
    pub fn remainder(&self) -> f64 {
        self.phase_ms(REMAINDER).unwrap_or_default() / self.total_ms
    }

    /// What to know beside the figures.
    pub fn flags(&self) -> Vec<&'static str> {
        let flags = [
            (self.hidden, "tab hidden"),
            (self.restored, "page restored"),
            (self.state.reloads() && self.navigation != "reload", "not a reload"),
            (self.models != [TARGET, DRAFT], "other models"),
            (self.calibrated && self.state != State::FirstVisit, "calibrated anew"),
            (self.software, "software adapter"),
        ];
        flags.into_iter().filter(|flag| flag.0).map(|flag| flag.1).collect()
    }
}

/// The phases of a start in their order: the page's own by the page's clock, the engine's as it reports them.
pub fn phases(state: State, moments: &StartMoments, generation: &Generation, total_ms: f64) -> Vec<(String, f64)> {
    let mut phases = Vec::new();
    if state.reloads() {
        phases.push(("page", moments.begun_ms));
    }
    if state != State::Warm {
        let instantiate = moments.loading.instantiate.unwrap_or_default();
        phases.push(("worker", moments.ready_ms - moments.begun_ms - instantiate));
        phases.extend(moments.loading.loading());
    }
    phases.extend(generation.metrics.phases_ms.request());
    let known: f64 = phases.iter().map(|&(_, ms)| ms).sum();
    phases.push((REMAINDER, total_ms - known));
    phases.into_iter().map(|(name, ms)| (name.to_owned(), ms)).collect()
}

/// The run whose total is the median of its state's; of an even number, the lower one of the two in the middle. A run
/// as it was: medians phase by phase would not add up.
pub fn median(starts: &[Start], state: State) -> Option<&Start> {
    let of = starts.iter().filter(|start| start.state == state);
    let of = sorted_by(of, |a, b| a.total_ms.total_cmp(&b.total_ms));
    of.get(of.len().checked_sub(1)? / 2).copied()
}
