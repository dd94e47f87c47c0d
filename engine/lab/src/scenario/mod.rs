//! What to measure: prompts x lengths x methods x sampling x start states. A scenario is data; the built-in ones are
//! constructors in [`built_in`].

mod built_in;
mod prompts;
pub mod published;

use serde::{Deserialize, Serialize};

pub use self::built_in::{NAMES, built_in, dynatree, pair, position, quick, single_request};
pub use self::prompts::{long_text, tales};
use super::report::{Acceptance, Case, LONGEST_NAME, Limits, MOST_RUNS, PromptId, Protocol, StartState};
use super::schedule::Schedule;
use super::statistics::Bootstrap;
use understory_protocol::foreign::shown;
use understory_protocol::{self, Error, GenerateRequest, Method, Result, Sampling, hash};

/// Cases of one scenario at most: beyond, a mistyped list would run for days.
pub const MOST_CASES: usize = 1000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// a built-in's, or `custom`
    pub name: String,
    /// for people: what it asks, and which published table it answers
    pub purpose: String,
    pub prompts: Vec<Prompt>,
    /// new tokens
    pub lengths: Vec<usize>,
    /// `ar` is the baseline of the others
    pub methods: Vec<Method>,
    pub sampling: Vec<Sampling>,
    pub starts: Vec<StartState>,
    /// measured runs of each case; an even number completes the mirrored rounds
    pub runs: usize,
    /// runs before them, of the same shape
    pub warm_up: usize,
    pub ignore_eos: bool,
    /// as in a [`GenerateRequest`]
    pub synthetic_acceptance: Option<f32>,
    /// what a request may take to count for the goodput
    #[serde(default)]
    pub limits: Option<Limits>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    pub id: String,
    pub text: String,
    /// Only its first so many tokens; `None`: all.
    #[serde(default)]
    pub tokens: Option<usize>,
}

impl Prompt {
    /// Its name in reports. The number of tokens it is cut to counts, the tokens themselves do not: they follow from the
    /// tokenizer, whose hash a report has.
    pub fn id(&self) -> PromptId {
        let hash = match self.tokens {
            None => hash::of_text(&self.text),
            Some(n) => hash::of_text(&format!("{n} tokens of {}", self.text)),
        };
        PromptId { id: self.id.clone(), hash, n_tokens: self.tokens }
    }

    /// As it goes to the engine. `encode` gives the text's tokens; it is asked only where the prompt is cut.
    ///
    /// # Errors
    /// Those of `encode`; [`Error::BadParameter`] where the text has fewer tokens than wanted.
    pub fn for_request(&self, encode: impl FnOnce(&str) -> Result<Vec<u32>>) -> Result<understory_protocol::Prompt> {
        let Some(n) = self.tokens else { return Ok(understory_protocol::Prompt::Text(self.text.clone())) };
        let mut tokens = encode(&self.text)?;
        if tokens.len() < n || n == 0 {
            let value = format!("{n} tokens of prompt {}, which has {}", self.id, tokens.len());
            return Err(Error::BadParameter { name: "prompt", value, expected: "at least 1 token, and a longer text" });
        }
        tokens.truncate(n);
        Ok(understory_protocol::Prompt::Tokens(tokens))
    }
}

/// A case to be: indices into the scenario's prompts, and what is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub prompt: usize,
    pub case: Case,
}

impl Planned {
    /// The request of a run; `prompt` from [`Prompt::for_request`].
    pub fn request(&self, prompt: understory_protocol::Prompt) -> GenerateRequest {
        GenerateRequest {
            prompt,
            max_new_tokens: self.case.max_new_tokens,
            ignore_eos: self.case.ignore_eos,
            stop: Vec::new(),
            sampling: self.case.sampling,
            method: self.case.method,
            synthetic_acceptance: self.case.synthetic_acceptance,
            trace: false,
        }
    }
}

impl Scenario {
    /// Without the methods that need a draft model.
    pub fn without_draft(mut self) -> Self {
        self.methods.retain(|method| !method.needs_draft());
        self
    }

    /// # Errors
    /// [`Error::BadParameter`] names the first thing that cannot be measured.
    pub fn validate(&self) -> Result<()> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        let lists = [
            ("prompts", self.prompts.is_empty()),
            ("lengths", self.lengths.is_empty()),
            ("methods", self.methods.is_empty()),
            ("sampling", self.sampling.is_empty()),
            ("start", self.starts.is_empty()),
        ];
        if let Some((name, _)) = lists.into_iter().find(|list| list.1) {
            return bad(name, "an empty list".into(), "at least one");
        }
        if self.lengths.contains(&0) {
            return bad("lengths", "0".into(), "1 or more new tokens");
        }
        if self.runs == 0 {
            return bad("runs", "0".into(), "1 or more; intervals need 6");
        }
        if let Some(p) = self.synthetic_acceptance.filter(|p| !(0.0..=1.0).contains(p)) {
            return bad("synthetic-acceptance", p.to_string(), "a number from 0 to 1");
        }
        let lens = [self.prompts.len(), self.lengths.len(), self.methods.len(), self.sampling.len(), self.starts.len()];
        let cases = lens.into_iter().fold(1_usize, usize::saturating_mul);
        if cases > MOST_CASES {
            return bad("prompts x lengths x methods", format!("{cases} cases"), "1000 at most");
        }
        if cases.saturating_mul(self.runs) > MOST_RUNS {
            return bad("runs", format!("{} of each of {cases} cases", self.runs), "50000 in all at most");
        }
        if let Some(prompt) = self.prompts.iter().find(|prompt| prompt.id.chars().count() > LONGEST_NAME) {
            return bad("id of a prompt", shown(&prompt.id), "300 characters at most");
        }
        self.sampling.iter().try_for_each(Sampling::validate)?;
        self.methods.iter().try_for_each(Method::validate)
    }

    /// Every case: groups of one prompt, length, sampling and start, in which only the method differs.
    pub fn cases(&self) -> Vec<Planned> {
        let mut cases = Vec::new();
        for &start in &self.starts {
            for (nth, prompt) in self.prompts.iter().enumerate() {
                for &max_new_tokens in &self.lengths {
                    for &sampling in &self.sampling {
                        for &method in &self.methods {
                            let case = self.case(prompt, max_new_tokens, sampling, method, start);
                            cases.push(Planned { prompt: nth, case });
                        }
                    }
                }
            }
        }
        cases
    }

    fn case(&self, prompt: &Prompt, n: usize, sampling: Sampling, method: Method, start: StartState) -> Case {
        // Plain decoding has nothing to accept.
        let synthetic_acceptance = self.synthetic_acceptance.filter(|_| method != Method::Ar);
        let acceptance = match synthetic_acceptance {
            None => Acceptance::Measured,
            Some(_) => Acceptance::Synthetic,
        };
        let (prompt, ignore_eos, hash) = (prompt.id(), self.ignore_eos, String::new());
        let max_new_tokens = n;
        Case { prompt, max_new_tokens, ignore_eos, sampling, method, acceptance, synthetic_acceptance, start, hash }
            .sealed()
    }

    /// The order of the runs of [`Self::cases`]. A cold start has no warm-up: it would no longer be one.
    pub fn schedule(&self) -> Schedule {
        let methods = self.methods.len();
        let of_start = |start| match start {
            StartState::FirstVisit | StartState::Cold => 0,
            StartState::WarmCache | StartState::Warm => self.warm_up,
        };
        let warm_up: Vec<usize> = self.cases().iter().map(|planned| of_start(planned.case.start)).collect();
        Schedule { groups: vec![methods; warm_up.len() / methods.max(1)], warm_up, rounds: self.runs }
    }

    /// How it is measured, for the report.
    pub fn protocol(&self) -> Protocol {
        let Bootstrap { resamples, confidence, seed } = Bootstrap::default();
        Protocol {
            scenario: self.name.clone(),
            runs: self.runs,
            warm_up: self.warm_up,
            interleaved: true,
            confidence,
            resamples,
            seed,
            limits: self.limits,
        }
    }
}

#[cfg(test)]
mod tests;
