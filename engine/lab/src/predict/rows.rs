//! Predictions as rows of text, the same on a terminal and on a page; each front end has headings of its own.

use understory_protocol::Case;
use understory_protocol::figures::rounded;

use super::models::ModelShape;
use super::{DeviceProfile, PassCost, Prediction, Proposal, Speculation, parameters};

/// Guesses up to which every chain has a row.
const SHORT: usize = 8;

/// `7.50 G`: thousands as letters.
pub fn si(value: f64) -> String {
    let steps = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match steps.into_iter().find(|(size, _)| value >= *size) {
        Some((size, letter)) => format!("{} {letter}", rounded(value / size)),
        None => format!("{value:.0} "),
    }
}

/// What is predicted, in two lines.
pub fn title(model: &ModelShape, profile: &DeviceProfile, case: &Case) -> String {
    let shared = match case.tensor_parallel {
        1 => String::new(),
        n => format!("{n} times "),
    };
    format!(
        "{} ({} parameters), {} weights, on {shared}{}\n{} tokens in, {} out, batch {}",
        model.label,
        si(parameters(&model.config) as f64),
        case.dtype.name(),
        profile.label,
        case.input,
        case.output,
        case.batch
    )
}

/// Operator, FLOP, bytes, FLOP a byte, ms, share of the pass, bound; the last row is the whole pass.
pub fn operators(pass: &PassCost) -> Vec<Vec<String>> {
    let share =
        |ms: f64| if pass.time_ms > 0.0 { format!("{:.0} %", 100.0 * ms / pass.time_ms) } else { String::new() };
    let mut rows = Vec::new();
    for o in &pass.operators {
        rows.push(vec![
            o.name.to_owned(),
            si(o.flops),
            si(o.weight_bytes + o.kv_bytes + o.activation_bytes),
            o.intensity.map_or_else(String::new, rounded),
            rounded(o.time_ms),
            share(o.time_ms),
            o.bound.name().to_owned(),
        ]);
    }
    if pass.pass_ms > 0.0 {
        let (ms, none) = (pass.pass_ms, String::new);
        rows.push(vec!["the pass itself".to_owned(), none(), none(), none(), rounded(ms), share(ms), none()]);
    }
    rows.push(vec![
        "all".to_owned(),
        si(pass.flops),
        si(pass.bytes),
        rounded(pass.intensity),
        rounded(pass.time_ms),
        String::new(),
        format!("{} dispatches", pass.dispatches),
    ]);
    rows
}

/// Kind, nodes, levels, tokens a round, draft ms, check ms, TPOT ms, speed-up, what is best about it.
pub fn proposals(s: &Speculation) -> Vec<Vec<String>> {
    let row = |name: &str, p: &Proposal, mark: &str| {
        vec![
            name.to_owned(),
            p.nodes.to_string(),
            p.levels.to_string(),
            format!("{:.2}", p.expected_tokens),
            rounded(p.draft_ms),
            rounded(p.verify_ms),
            rounded(p.tpot_ms),
            format!("{:.2}", p.speed_up),
            mark.to_owned(),
        ]
    };
    let best = s.best_chain.nodes;
    let told = s.chains.iter().filter(|chain| chain.nodes <= SHORT || chain.nodes == best);
    let mut rows: Vec<_> =
        told.map(|chain| row("chain", chain, if chain.nodes == best { "best chain" } else { "" })).collect();
    rows.push(row("tree", &s.best_tree, if s.ranks_assumed { "best tree at most" } else { "best tree" }));
    rows
}

/// From which length on it pays, what the whole request takes, what is assumed.
pub fn of_speculation(s: &Speculation, plain: &Prediction) -> Vec<String> {
    let load =
        if s.draft_load_ms > 0.0 { format!(" and load ({} ms)", rounded(s.draft_load_ms)) } else { String::new() };
    let mut sentences = vec![match (plain.ttft_ms, s.break_even_tokens) {
        (None, _) => "from which length it pays is not known: the prefill is not predicted".to_owned(),
        (Some(_), Some(n)) => format!(
            "it pays for the draft's prefill ({} ms){load} from {} tokens of output on",
            rounded(s.draft_prefill_ms),
            n.ceil().max(1.0)
        ),
        (Some(_), None) => "it never pays: a plain step is faster".to_owned(),
    }];
    if let (Some(with), Some(without)) = (s.e2e_ms, plain.e2e_ms) {
        sentences.push(format!("the whole request: {} ms with it, {} ms without", rounded(with), rounded(without)));
    }
    if s.ranks_assumed {
        sentences.push(
            "the tree takes each guess after the best to hit as much of what is left as the best does of all: optimistic, and \
             not counted in what pays"
                .into(),
        );
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::si;

    #[test]
    fn thousands_become_letters() {
        let cases = [(0.0, "0 "), (999.0, "999 "), (1536.0, "1.54 k"), (7.5e9, "7.50 G"), (2.5e16, "25.0 P")];
        for (value, text) in cases {
            assert_eq!(si(value), text);
        }
    }
}
