//! What was asked, and what each run of it gave.

use serde::{Deserialize, Serialize};
use understory_protocol::hash::{self, Fingerprint};
use understory_protocol::{DepthCount, FinishReason, Method, Phases, Sampling, Speculation};

use super::{Flag, MetricSummary};

/// A case: one prompt, length, method, sampling and start state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub prompt: PromptId,
    /// new tokens at most
    pub max_new_tokens: usize,
    /// It went on past end tokens.
    pub ignore_eos: bool,
    /// with the seed
    pub sampling: Sampling,
    pub method: Method,
    pub acceptance: Acceptance,
    /// the probability that was injected
    pub synthetic_acceptance: Option<f32>,
    pub start: StartState,
    /// [`Case::fingerprint`]
    pub hash: String,
}

impl Case {
    /// Of all that was asked, the prompt's text included: equal where two runs, on whichever devices, did the same.
    pub fn fingerprint(&self) -> String {
        // Texts that serde makes of these types are stable: the report's own format.
        let text = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_default();
        let parts = [
            self.prompt.hash.clone(),
            self.max_new_tokens.to_string(),
            self.ignore_eos.to_string(),
            text(&|| serde_json::to_string(&self.sampling)),
            text(&|| serde_json::to_string(&self.method)),
            text(&|| serde_json::to_string(&self.synthetic_acceptance)),
            self.start.name().to_owned(),
        ];
        let mut hash = Fingerprint::default();
        for part in parts {
            hash.push(part.as_bytes());
            hash.push(b"\n");
        }
        hash.hex()
    }

    /// With its hash as it has to be.
    pub fn sealed(mut self) -> Self {
        self.hash = self.fingerprint();
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptId {
    pub id: String,
    /// [`hash::of_text`] of the prompt, or [`hash::of_tokens`] of one given as ids
    pub hash: String,
    /// tokens of the prompt in this model's tokenizer
    pub n_tokens: Option<usize>,
}

impl PromptId {
    pub fn of_text(id: impl Into<String>, text: &str) -> Self {
        Self { id: id.into(), hash: hash::of_text(text), n_tokens: None }
    }
}

/// Who decided what was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceptance {
    /// the target, over real text
    Measured,
    /// a fixed probability
    Synthetic,
}

/// What was there before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartState {
    /// nothing is cached on this device
    FirstVisit,
    /// the weights are here; a new process or tab, pipelines cold
    Cold,
    /// a new process or worker; caches of pipelines and files are filled
    WarmCache,
    /// the model is resident and was used
    Warm,
}

impl StartState {
    pub const ALL: [StartState; 4] = [Self::FirstVisit, Self::Cold, Self::WarmCache, Self::Warm];

    pub fn name(self) -> &'static str {
        match self {
            Self::FirstVisit => "first_visit",
            Self::Cold => "cold",
            Self::WarmCache => "warm_cache",
            Self::Warm => "warm",
        }
    }
}

/// A case with its runs and what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    pub case: Case,
    pub samples: Vec<Sample>,
    /// derived from the samples
    #[serde(default)]
    pub summary: Vec<MetricSummary>,
    /// sums over the samples
    pub speculation: Option<Counts>,
    /// share of the runs within the protocol's limits; `None`: there are none
    #[serde(default)]
    pub goodput: Option<f64>,
    #[serde(default)]
    pub flags: Vec<Flag>,
}

/// One measured run, raw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// round of the schedule, from 0; runs of one round are compared with each other
    pub round: usize,
    /// place among all measured runs of the report, from 0
    pub order: usize,
    /// when it was submitted, from the report's start
    pub submitted_at_ms: Option<f64>,
    /// from where the start state's clock begins (process, navigation, new worker) to the submission; 0 where the model
    /// was resident
    pub before_ms: Option<f64>,
    /// to the first non-empty text
    pub first_text_ms: Option<f64>,
    /// to the first text on screen, from the click
    pub paint_ms: Option<f64>,
    pub emissions: Emissions,
    pub prompt_tokens: usize,
    /// of them that the KV cache still held
    pub reused_tokens: usize,
    pub finish_reason: FinishReason,
    /// those that happened, in order
    pub phases: Vec<Phase>,
    /// [`hash::of_tokens`] of the output
    pub output_hash: String,
    /// share of the output's 4-grams that had occurred before
    pub repetition: Option<f64>,
    pub peak_gpu_bytes: Option<u64>,
    /// `None`: plain decoding
    pub speculation: Option<Counts>,
    /// The tab was hidden at some moment.
    pub hidden: Option<bool>,
    /// as `load` of the device, before this run
    pub load: Option<f64>,
}

impl Sample {
    /// Times to 0.1 µs: what lies beyond is noise, and a third of the file.
    pub(crate) fn shorten(&mut self) {
        let short = |ms: &mut f64| *ms = (*ms * 1e4).round() / 1e4;
        let times = [&mut self.submitted_at_ms, &mut self.before_ms, &mut self.first_text_ms, &mut self.paint_ms];
        times.into_iter().flatten().for_each(short);
        self.emissions.at_ms.iter_mut().for_each(short);
        self.phases.iter_mut().for_each(|phase| short(&mut phase.ms));
    }
}

/// When tokens were read from the device, and how many each time: two columns of one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Emissions {
    pub at_ms: Vec<f64>,
    pub tokens: Vec<u32>,
}

impl Emissions {
    pub fn push(&mut self, at_ms: f64, tokens: usize) {
        self.at_ms.push(at_ms);
        self.tokens.push(u32::try_from(tokens).unwrap_or(u32::MAX));
    }

    /// Tokens of all emissions.
    pub fn n_out(&self) -> usize {
        self.tokens.iter().map(|&n| n as usize).sum()
    }

    /// Times from one emission to the next, with the tokens that the later one brought.
    pub fn gaps(&self) -> impl Iterator<Item = (f64, u32)> {
        self.at_ms.windows(2).zip(self.tokens.iter().skip(1)).map(|(at, &n)| (at[1] - at[0], n))
    }
}

/// A part of a start or of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub ms: f64,
}

impl Phase {
    fn new((name, ms): (&str, f64)) -> Self {
        Self { name: name.into(), ms }
    }

    /// The phases of a start that are known, without a request's.
    pub fn loading(phases: &Phases) -> Vec<Phase> {
        phases.loading().map(Phase::new).collect()
    }

    /// The phases of a start and its request that are known; with the model resident, those of the request alone.
    pub fn known(phases: &Phases, start: StartState) -> Vec<Phase> {
        let loading = phases.loading().filter(|_| start != StartState::Warm);
        loading.chain(phases.request()).map(Phase::new).collect()
    }
}

/// What speculation did. Definitions: docs/numbers.md.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub target_passes: usize,
    pub rounds: usize,
    pub drafted: usize,
    pub accepted: usize,
    pub nodes_verified: usize,
    /// entry d - 1: depth d
    pub by_depth: Vec<DepthCount>,
}

impl From<&Speculation> for Counts {
    fn from(speculation: &Speculation) -> Self {
        let Speculation { target_passes, rounds, drafted, accepted, nodes_verified, ref by_depth, .. } = *speculation;
        Self { target_passes, rounds, drafted, accepted, nodes_verified, by_depth: by_depth.clone() }
    }
}

impl Counts {
    /// Of several runs together.
    pub fn sum<'a>(counts: impl IntoIterator<Item = &'a Counts>) -> Option<Counts> {
        counts.into_iter().fold(None, |sum, next| {
            let mut sum = sum.unwrap_or_default();
            // What somebody made up may have no sum.
            let add = |sum: &mut usize, next: usize| *sum = sum.saturating_add(next);
            add(&mut sum.target_passes, next.target_passes);
            add(&mut sum.rounds, next.rounds);
            add(&mut sum.drafted, next.drafted);
            add(&mut sum.accepted, next.accepted);
            add(&mut sum.nodes_verified, next.nodes_verified);
            sum.by_depth.resize(sum.by_depth.len().max(next.by_depth.len()), DepthCount::default());
            for (sum, next) in sum.by_depth.iter_mut().zip(&next.by_depth) {
                add(&mut sum.offered, next.offered);
                add(&mut sum.nodes, next.nodes);
                add(&mut sum.accepted, next.accepted);
            }
            Some(sum)
        })
    }
}
