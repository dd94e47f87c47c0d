//! The published table, and the experiment that its hypothesis asks for.

use std::collections::BTreeMap;

use serde::Serialize;
use understory_protocol::formulas::median;

use super::Trace;
use crate::report::Estimate;
use crate::statistics::{Bootstrap, Resampler};

/// Output lengths, first and last, and the ms a token that were published for them.
const PUBLISHED: [(usize, usize, f64); 5] =
    [(2, 2, 24.62), (3, 5, 34.42), (6, 10, 41.09), (11, 20, 41.47), (21, usize::MAX, 45.17)];

/// Which of the published ranges of tokens `token` is in; the second token is in the first.
pub(super) fn of_token(token: usize) -> usize {
    PUBLISHED.iter().position(|&(_, last, _)| token <= last).unwrap_or(PUBLISHED.len() - 1)
}

/// Number of published ranges.
pub(super) const COUNT: usize = PUBLISHED.len();

/// Runs of one range of output lengths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    /// as published: `3-5`
    pub tokens: String,
    pub runs: usize,
    /// another model on another device
    pub published_ms: f64,
    /// (t_last - t_first) / N, as it was computed there; `None` without runs
    pub over_n_ms: Option<Estimate>,
    /// TPOT: (t_last - t_first) / (N - 1)
    pub tpot_ms: Option<Estimate>,
}

/// Medians over rounds, of each round's median run.
pub fn buckets(traces: &[Trace]) -> Vec<Bucket> {
    let resampler = Bootstrap::default().within(2 * traces.len(), traces.len()).resampler();
    let bucket = |(nth, &(first, last, published_ms)): (usize, &(usize, usize, f64))| {
        let of: Vec<&Trace> = traces.iter().filter(|trace| of_token(trace.n_out()) == nth).collect();
        let tokens = match last {
            usize::MAX => format!("{first}+"),
            last if last == first => first.to_string(),
            last => format!("{first}-{last}"),
        };
        Bucket {
            tokens,
            runs: of.len(),
            published_ms,
            over_n_ms: over_rounds(&resampler, of.iter().map(|t| (t.round, t.decode_ms() / t.n_out() as f64))),
            tpot_ms: over_rounds(&resampler, of.iter().map(|t| (t.round, t.decode_ms() / (t.n_out() - 1) as f64))),
        }
    };
    PUBLISHED.iter().enumerate().map(bucket).collect()
}

/// One output length over prompts of different lengths: if the KV cache slowed steps down, longer prompts would too.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrefillEffect {
    /// tokens that came out
    pub length: usize,
    /// tokens of the prompt, and the mean steady step
    pub step_ms: Vec<(usize, Estimate)>,
    /// the longest prompt over the shortest, round by round
    pub ratio: Option<Estimate>,
}

/// Of every length that several prompts have.
pub fn prefill_effects(traces: &[Trace]) -> Vec<PrefillEffect> {
    let mut lengths: BTreeMap<usize, BTreeMap<usize, Vec<(usize, f64)>>> = BTreeMap::new();
    for trace in traces {
        if let Some(ms) = trace.steady_ms() {
            let by_prefill = lengths.entry(trace.n_out()).or_default();
            by_prefill.entry(trace.prefill).or_default().push((trace.round, ms));
        }
    }
    lengths.retain(|_, by_prefill| by_prefill.len() > 1);
    // Each run is drawn for its own prompt, and those of the longest and the shortest once more.
    let bootstrap = Bootstrap::default().within(3 * traces.len(), traces.len());
    let resampler = bootstrap.resampler();
    let effect = |(length, by_prefill): (usize, BTreeMap<usize, Vec<(usize, f64)>>)| {
        let estimate =
            |(&prefill, values): (&usize, &Vec<_>)| Some((prefill, over_rounds(&resampler, values.iter().copied())?));
        let rounds_of = |values: Option<&Vec<_>>| values.map(|values| rounds(values.iter().copied()));
        let shortest = rounds_of(by_prefill.values().next()).unwrap_or_default();
        let longest = rounds_of(by_prefill.values().next_back()).unwrap_or_default();
        let pairs: Vec<(f64, f64)> =
            longest.iter().filter_map(|(round, &long)| Some((long, *shortest.get(round)?))).collect();
        let step_ms = by_prefill.iter().filter_map(estimate).collect();
        PrefillEffect { length, step_ms, ratio: bootstrap.paired_ratio(&pairs) }
    };
    lengths.into_iter().map(effect).collect()
}

/// The median of each round's values.
fn rounds(values: impl Iterator<Item = (usize, f64)>) -> BTreeMap<usize, f64> {
    let mut by_round: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (round, value) in values {
        by_round.entry(round).or_default().push(value);
    }
    by_round.into_iter().map(|(round, values)| (round, median(&values))).collect()
}

fn over_rounds(resampler: &Resampler, values: impl Iterator<Item = (usize, f64)>) -> Option<Estimate> {
    resampler.median(&rounds(values).into_values().collect::<Vec<_>>())
}
