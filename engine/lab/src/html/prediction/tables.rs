//! The figures and the tables of a prediction.

use maud::{Markup, html};
use understory_protocol::definitions::Definition;
use understory_protocol::definitions::prediction::explain;
use understory_protocol::figures::{bytes, rounded};

use crate::html::{Table, meaning};
use crate::predict::ask::Answer;
use crate::predict::local_fit::FittedSize;
use crate::predict::{PassCost, Speculation, rows};

use super::{defined, list, texts};

/// What is predicted, with what each figure means one click away.
pub fn figures(answer: &Answer) -> Markup {
    let p = &answer.prediction;
    let all = [
        ("ttft_ms", p.ttft_ms),
        ("tpot_ms", p.tpot_ms),
        ("e2e_ms", p.e2e_ms),
        ("prefill_tokens_per_s", p.prefill_tokens_per_s),
        ("decode_tokens_per_s", p.decode_tokens_per_s),
        ("total_tokens_per_s", p.total_tokens_per_s),
        ("tokens_per_ms", p.tokens_per_ms),
        ("ms_per_token", p.ms_per_token),
        ("energy_per_token_mj", p.energy_per_token_mj),
        ("memory.weights_bytes", Some(p.memory.weights_bytes)),
        ("memory.kv_bytes", Some(p.memory.kv_bytes)),
        ("memory.peak_bytes", Some(p.memory.peak_bytes)),
    ];
    let of_rounds = answer
        .speculation
        .as_ref()
        .map(|s| [("speed_up", Some(s.best_chain.speed_up)), ("break_even_tokens", s.break_even_tokens)]);
    html! {
        dl class="figures" {
            @for (id, value) in all.into_iter().chain(of_rounds.into_iter().flatten()) {
                @if let Some(definition) = explain(id) { (figure(id, definition, value)) }
            }
        }
    }
}

fn figure(id: &str, Definition { name, unit, .. }: &Definition, value: Option<f64>) -> Markup {
    let text = match (*unit, value) {
        (_, None) if id == "break_even_tokens" => "never".into(),
        (_, None) => "not known".into(),
        ("bytes", Some(value)) => bytes(value as u64),
        ("tokens", Some(value)) => format!("{} tokens", value.ceil().max(1.0)),
        (unit, Some(value)) => format!("{} {unit}", rounded(value)),
    };
    html! {
        div {
            dt {
                (name) " "
                button type="button" class="ask" data-figure=(id) aria-label=(format!("What is “{name}”?")) { "?" }
            }
            dd { (text) }
        }
    }
}

pub fn rounds(speculation: &Speculation, answer: &Answer) -> Markup {
    let heading =
        texts(["guesses", "nodes", "levels", "tokens a round", "draft ms", "check ms", "TPOT ms", "speed-up", ""]);
    let table = Table { heading, rows: rows::proposals(speculation), names: 1 };
    let mut sentences = vec![format!("a plain step of this context takes {} ms", rounded(speculation.plain_tpot_ms))];
    sentences.extend(rows::of_speculation(speculation, &answer.prediction));
    let definitions = defined(["expected_tokens", "round_ms", "speed_up", "break_even_tokens", "acceptance"]);
    html! { (table.html("Ways of guessing")) (list(&sentences)) (meaning(&definitions)) }
}

/// What the device at hand was fitted to, and how far it is off.
pub fn fitted(answer: &Answer) -> Markup {
    let Some(fitted) = &answer.fitted else { return html! {} };
    let percent = |error: f64| format!("{:+.0} %", 100.0 * error);
    let row = |size: &FittedSize| {
        let at = &size.at;
        vec![
            at.input.to_string(),
            at.output.to_string(),
            rounded(at.ttft_ms),
            percent(size.ttft_error),
            rounded(at.tpot_ms),
            percent(size.tpot_error),
            if size.held_out { "not used" } else { "fitted" }.into(),
        ]
    };
    let heading = texts(["prompt", "output", "TTFT ms", "error", "TPOT ms", "error", ""]);
    let table = Table { heading, rows: fitted.sizes.iter().map(row).collect(), names: 0 };
    let mut sentences = vec![
        "the times are the least of each size's plain requests in this page; errors are predicted over measured, less one"
            .to_owned(),
        "the fit explains the loaded target's own sizes; for other models it is an extrapolation".into(),
    ];
    for (held_out, what) in [(false, "fitted"), (true, "not used in the fit")] {
        if let Some((ttft, tpot)) = fitted.errors(held_out) {
            let (ttft, tpot) = (100.0 * ttft, 100.0 * tpot);
            sentences.push(format!("median error of sizes {what}: TTFT {ttft:.1} %, TPOT {tpot:.1} %"));
        }
    }
    html! { h2 { "This device, as measured" } (table.html("Measured sizes")) (list(&sentences)) }
}

/// What a pass multiplies and moves.
pub fn operators(pass: &PassCost) -> Markup {
    let heading = texts(["operator", "FLOP", "bytes", "FLOP/byte", "ms", "share", "bound"]);
    Table { heading, rows: rows::operators(pass), names: 1 }.html("Operators")
}
