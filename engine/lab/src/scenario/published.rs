//! Figures of the published documents that the built-in scenarios answer, as published, corrected where the document's
//! own repository or arithmetic corrects them, and what of ours stands beside them.
//!
//! They were measured with other models on other devices: they show what a figure means, and are no target.

use understory_protocol::Method;
use understory_protocol::definitions as d;

use crate::report::StartState;

/// One published figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    pub scenario: &'static str,
    /// what was measured, in the document's words
    pub subject: &'static str,
    /// id of a definition
    pub metric: &'static str,
    pub published: f64,
    /// `None`: the figure stands, or nobody can say what it should have been; `note` says which
    pub corrected: Option<f64>,
    pub note: &'static str,
    /// which of our cases stands beside it
    pub ours: Ours,
}

/// Which of a scenario's cases; `None`: all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ours {
    pub method: Option<Method>,
    pub length: Option<usize>,
    pub start: Option<StartState>,
}

/// The figures of a scenario; none for `quick`.
pub fn of(scenario: &str) -> impl Iterator<Item = Published> {
    let all = [dynatree(), by_length(), single_request(), pair(), position()];
    all.into_iter().flatten().filter(move |figure| figure.scenario == scenario)
}

const STANDS: &str = "";
const OTHER_PREFILL: &str =
    "timed another prefill than plain decoding's: speculation cannot lower TTFT, and must not raise it";
const NO_PRUNING: Method = Method::Tree { depth: 6, branch: 2, tau: 0.0, budget: 63 };

/// Pythia-2.8B with Pythia-70M on an A100, 500 tokens.
fn dynatree() -> Vec<Published> {
    let methods = [
        ("autoregressive", Method::Ar, [Some(18.69), Some(7.47), Some(133.23), Some(1.0), Some(1.0)]),
        ("linear, K=6", Method::LINEAR, [Some(12.17), Some(6.16), Some(167.69), Some(1.26), Some(4.87)]),
        ("DynaTree, D=6 B=2", Method::TREE, [Some(12.48), Some(5.46), Some(185.26), Some(1.39), Some(5.56)]),
        ("Hugging Face assisted", Method::HEURISTIC, [Some(12.54), Some(5.08), Some(209.79), Some(1.58), None]),
        ("D=6 B=2 without pruning", NO_PRUNING, [None, None, None, Some(0.27), None]),
    ];
    let metrics = [&d::TTFT, &d::TPOT, &d::OUTPUT_RATE, &d::SPEED_UP, &d::ACCEPTANCE_LENGTH];
    let mut figures = Vec::new();
    for (subject, method, values) in methods {
        for (metric, value) in metrics.iter().zip(values) {
            let late = metric.id == d::TTFT.id && method != Method::Ar;
            let ours = Ours { method: Some(method), length: Some(500), start: Some(StartState::Warm) };
            figures.extend(value.map(|published| Published {
                scenario: "dynatree",
                subject,
                metric: metric.id,
                published,
                corrected: late.then_some(18.69),
                note: if late { OTHER_PREFILL } else { STANDS },
                ours,
            }));
        }
    }
    figures
}

/// Speed-up over plain decoding by length, of the same document.
fn by_length() -> Vec<Published> {
    const REPEATS: &str =
        "grew with the length because greedy text repeats itself: read it beside repetition and lookup";
    let rows = [(100, [0.72, 0.94, 0.90]), (200, [1.06, 1.12, 1.22]), (500, [1.29, 1.38, 1.44])];
    let methods = [("linear, K=8", Method::LINEAR), ("fixed tree", Method::TREE), ("adaptive tree", Method::DynaTree)];
    let figure = |length: usize, (subject, method): (&'static str, Method), published: f64| Published {
        scenario: "dynatree",
        subject,
        metric: d::SPEED_UP.id,
        published,
        corrected: None,
        note: REPEATS,
        ours: Ours { method: Some(method), length: Some(length), start: Some(StartState::Warm) },
    };
    let of_row = |(length, values): (usize, [f64; 3])| {
        methods.into_iter().zip(values).map(move |(method, value)| figure(length, method, value))
    };
    rows.into_iter().flat_map(of_row).collect()
}

/// distilgpt2, 6 prompt tokens, 20 new ones.
fn single_request() -> Vec<Published> {
    let figure = |subject, published, note, start| Published {
        scenario: "single-request",
        subject,
        metric: d::START_TTFT.id,
        published,
        corrected: None,
        note,
        ours: Ours { start: Some(start), ..Ours::default() },
    };
    vec![
        figure("cold", 1080.0, "includes load, placement, compilation: our phases divide it", StartState::Cold),
        figure("warm", 880.0, "stated as 860 to 900", StartState::Warm),
    ]
}

/// Llama-3.2-1B drafting for Llama-3.2-3B.
fn pair() -> Vec<Published> {
    let speculative = Ours { method: Some(Method::LINEAR), start: Some(StartState::Warm), length: None };
    let plain = Ours { method: Some(Method::Ar), ..speculative };
    let figure = |subject, metric, published, corrected, note, ours| Published {
        scenario: "pair",
        subject,
        metric,
        published,
        corrected,
        note,
        ours,
    };
    const RATE: &str =
        "multiplied the tokens of a step with a rate that counted them already: tokens committed over time";
    const ACCEPTED: &str = "of drafted tokens alone";
    const BREAK_EVEN: &str = "stated as 10 to 50; its first figures give 93, and by its corrected rates it never pays";
    vec![
        figure("speculative", d::TTFT.id, 1530.0, None, STANDS, speculative),
        figure("baseline", d::TTFT.id, 121.1, None, STANDS, plain),
        figure("speculative", d::OUTPUT_RATE.id, 162.7, Some(23.44), RATE, speculative),
        figure("baseline", d::OUTPUT_RATE.id, 48.60, None, STANDS, plain),
        figure("speculative", d::ACCEPTANCE_RATE.id, 0.865, None, ACCEPTED, speculative),
        figure("speculative", d::BREAK_EVEN.id, 50.0, None, BREAK_EVEN, speculative),
    ]
}

/// Time per token by output length.
fn position() -> Vec<Published> {
    const OVER_N: &str = "divided the time of N - 1 steps by N: a constant step of 46.5 ms fits every row within 5.5 %";
    let rows = [
        ("2 tokens", 24.62, 2),
        ("3 to 5 tokens", 34.42, 4),
        ("6 to 10 tokens", 41.09, 8),
        ("11 to 20 tokens", 41.47, 16),
        ("21 tokens and more", 45.17, 32),
    ];
    let figure = |(subject, published, length)| Published {
        scenario: "position",
        subject,
        metric: d::TPOT.id,
        published,
        corrected: Some(46.5),
        note: OVER_N,
        ours: Ours { length: Some(length), start: Some(StartState::Warm), method: None },
    };
    rows.map(figure).into()
}
