//! Latency by position: how long a step of plain decoding takes, how far into the text it is, and whether the two have
//! anything to do with each other (published results, 5).
//!
//! The published analysis divided the time of N - 1 steps by N and took the rise that this makes for growth of the KV
//! cache. Here steps are timed one by one, their length of context varies through the prompt as well as through the
//! output, and each explanation is fitted to both quantities: the steps, and the published one.

mod buckets;
mod estimators;
mod fit;
mod kv;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::buckets::{Bucket, PrefillEffect};
pub use self::estimators::{Estimator, HeldOut};
pub use self::fit::{CRITERION, Fit, Fits, Form, Parameter};
pub use self::kv::{KvTerm, Memory, kv_bytes_per_token};
pub use self::table::Point;
use super::report::{Emissions, Report, StartState};
use understory_protocol::Method;

/// The decode steps of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// tokens of the prompt
    pub prefill: usize,
    /// round of the schedule
    pub round: usize,
    /// ms of each step, that of the second token first: one fewer than tokens came out
    pub steps_ms: Vec<f64>,
    /// so many of the first steps had nothing under way before them: the host waited for the first token
    pub lone: usize,
}

impl Trace {
    /// From when tokens were read. Tokens that were read together share the time since the read before. `None` for
    /// fewer than two tokens, and for a first read of several, of which nobody knows how long each took.
    pub fn of_emissions(prefill: usize, round: usize, emissions: &Emissions) -> Option<Self> {
        if emissions.tokens.first() != Some(&1) {
            return None;
        }
        let share = |(ms, n): (f64, u32)| std::iter::repeat_n(ms / f64::from(n), n as usize);
        let steps_ms: Vec<f64> = emissions.gaps().flat_map(share).collect();
        let lone = emissions.tokens.get(1).map_or(0, |&n| n as usize);
        (!steps_ms.is_empty()).then_some(Self { prefill, round, steps_ms, lone })
    }

    /// Tokens that came out.
    pub fn n_out(&self) -> usize {
        self.steps_ms.len() + 1
    }

    /// From the first token to the last.
    pub fn decode_ms(&self) -> f64 {
        self.steps_ms.iter().sum()
    }

    /// Number of the token (from 1) that each step gave, and its time.
    fn steps(&self) -> impl Iterator<Item = (usize, f64)> {
        self.steps_ms.iter().enumerate().map(|(i, &ms)| (i + 2, ms))
    }

    /// Those that were under way while the one before them was read.
    fn steady(&self) -> impl Iterator<Item = (usize, f64)> {
        self.steps().skip(self.lone)
    }

    /// Mean of the steady steps.
    fn steady_ms(&self) -> Option<f64> {
        let steps = self.steps_ms.get(self.lone..).filter(|steps| !steps.is_empty())?;
        Some(steps.iter().sum::<f64>() / steps.len() as f64)
    }
}

/// The runs of a report that say something: plain decoding with the model resident.
pub fn traces(report: &Report) -> Vec<Trace> {
    let plain = report.cases.iter().filter(|of| of.case.method == Method::Ar && of.case.start == StartState::Warm);
    let samples = plain.flat_map(|of| &of.samples);
    samples.filter_map(|sample| Trace::of_emissions(sample.prompt_tokens, sample.round, &sample.emissions)).collect()
}

/// All that is concluded. Intervals are of 95 %, from rounds drawn with replacement: what a round's runs have in common
/// is not noise that more tokens would average out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    pub runs: usize,
    pub rounds: usize,
    /// tokens of prompts, ascending
    pub prefills: Vec<usize>,
    /// tokens that came out, ascending
    pub lengths: Vec<usize>,
    /// by output length, as published
    pub buckets: Vec<Bucket>,
    /// the prompt changed at a fixed output
    pub prefill_effects: Vec<PrefillEffect>,
    /// time of the steady steps against the length of context; `None`: too few points
    pub steps: Option<Fits>,
    /// the published quantity, (t_last - t_first) / N, against N
    pub over_n: Option<Fits>,
    pub kv: Option<KvTerm>,
    /// `[]`: fewer than two rounds, so that nothing can be held out
    pub estimators: Vec<HeldOut>,
}

/// Concludes what `traces` say, in whichever order they come; `memory` as far as it is known.
pub fn analyse(traces: &[Trace], memory: &Memory) -> Analysis {
    let ascending = |of: fn(&Trace) -> usize| {
        let mut values: Vec<usize> = traces.iter().map(of).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let rounds = ascending(|trace| trace.round);
    let steps = fit::fits(&table::of_steps(traces, &rounds), rounds.len());
    Analysis {
        runs: traces.len(),
        rounds: rounds.len(),
        prefills: ascending(|trace| trace.prefill),
        lengths: ascending(Trace::n_out),
        buckets: buckets::buckets(traces),
        prefill_effects: buckets::prefill_effects(traces),
        over_n: fit::fits(&table::over_n(traces, &rounds), rounds.len()),
        kv: steps.as_ref().and_then(|fits| kv::term(fits, memory)),
        steps,
        estimators: estimators::held_out(traces, &rounds),
    }
}
