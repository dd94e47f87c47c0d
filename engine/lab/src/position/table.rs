//! What is fitted: places in the text, each with a value from every round.

use std::collections::BTreeMap;

use serde::Serialize;
use understory_protocol::formulas::median;

use super::Trace;

/// Tokens that have a place of their own; behind them a place holds so many.
const SINGLE: usize = 16;
const TOGETHER: usize = 8;

/// A place in the text and what was measured there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    pub prefill: usize,
    /// number of the token, from 1; the middle of those of one place
    pub token: f64,
    /// the abscissa: positions that the step attended to; for the published quantity, the output length
    pub x: f64,
    /// median over rounds
    pub ms: f64,
    /// measurements behind it
    pub n: usize,
}

/// A [`Point`] with the value of each round.
#[derive(Clone, Debug)]
pub struct Row {
    prefill: usize,
    token: f64,
    x: f64,
    n: usize,
    /// index of a round and its value; not there: nothing was measured there in that round
    by_round: Vec<(usize, f64)>,
}

impl Row {
    /// Over the rounds, each as often as `times` says at its index.
    pub fn point(&self, times: &[usize]) -> Option<Point> {
        let values = self.by_round.iter().flat_map(|&(round, ms)| std::iter::repeat_n(ms, times[round]));
        let values: Vec<f64> = values.collect();
        let &Row { prefill, token, x, n, .. } = self;
        (!values.is_empty()).then(|| Point { prefill, token, x, ms: median(&values), n })
    }

    /// Rounds that have a value.
    pub fn rounds(&self) -> usize {
        self.by_round.len()
    }
}

/// Steady steps by prefill and token.
pub fn of_steps(traces: &[Trace], rounds: &[usize]) -> Vec<Row> {
    let values = traces.iter().flat_map(|trace| {
        // The step that gives token n has the prompt and n - 1 tokens to attend to.
        trace.steady().map(move |(token, ms)| (trace, token, (trace.prefill + token - 1) as f64, ms))
    });
    rows(values, rounds, place)
}

/// The published quantity of each run.
pub fn over_n(traces: &[Trace], rounds: &[usize]) -> Vec<Row> {
    let values = traces.iter().map(|trace| {
        let n = trace.n_out();
        (trace, n, n as f64, trace.decode_ms() / n as f64)
    });
    rows(values, rounds, |token| token)
}

fn place(token: usize) -> usize {
    if token <= SINGLE { token } else { SINGLE + 1 + (token - SINGLE - 1) / TOGETHER }
}

/// Means of abscissa and token, and the values of each round.
#[derive(Default)]
struct Sums {
    token: f64,
    x: f64,
    n: usize,
    by_round: BTreeMap<usize, Vec<f64>>,
}

fn rows<'a>(
    values: impl Iterator<Item = (&'a Trace, usize, f64, f64)>,
    rounds: &[usize],
    place: impl Fn(usize) -> usize,
) -> Vec<Row> {
    let mut places: BTreeMap<(usize, usize), Sums> = BTreeMap::new();
    for (trace, token, x, ms) in values {
        let sums = places.entry((trace.prefill, place(token))).or_default();
        sums.token += token as f64;
        sums.x += x;
        sums.n += 1;
        sums.by_round.entry(trace.round).or_default().push(ms);
    }
    let row = |((prefill, _), sums): ((usize, usize), Sums)| {
        let n = sums.n as f64;
        let of_round = |(round, values): (&usize, &Vec<f64>)| Some((rounds.binary_search(round).ok()?, median(values)));
        let by_round = sums.by_round.iter().filter_map(of_round).collect();
        Row { prefill, token: sums.token / n, x: sums.x / n, n: sums.n, by_round }
    };
    places.into_iter().map(row).collect()
}
