//! Predictions as text.

use std::fmt::Write as _;

use understory_engine::figures::{self, rounded};
use understory_engine::predict::{Case, DeviceProfile, PassCost, Prediction, Proposal, Speculation, parameters};

use super::measured::{Calibration, Size};
use super::shapes::Shape;
use crate::output::columns;

/// A figure that may be unknown.
fn or_unknown(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "unknown".into(), |value| format!("{} {unit}", rounded(value)))
}

/// `7.50 G`: thousands as letters.
fn si(value: f64) -> String {
    let steps = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match steps.into_iter().find(|(size, _)| value >= *size) {
        Some((size, letter)) => format!("{} {letter}", rounded(value / size)),
        None => format!("{value:.0} "),
    }
}

fn texts(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

pub fn prediction(model: &Shape, profile: &DeviceProfile, case: &Case, prediction: &Prediction) -> String {
    let p = prediction;
    let shared = match case.tensor_parallel {
        1 => String::new(),
        n => format!("{n} times "),
    };
    let mut text = format!(
        "{} ({} parameters), {} weights, on {shared}{}\n{} tokens in, {} out, batch {}\n\n",
        model.label,
        si(parameters(&model.config) as f64),
        case.dtype.name(),
        profile.label,
        case.input,
        case.output,
        case.batch
    );
    let fits = match p.memory.fits {
        Some(true) => "fits",
        Some(false) => "does NOT fit",
        None => "the device's memory is not known",
    };
    let bytes = |n: f64| figures::bytes(n as u64);
    let lines = [
        ("TTFT", or_unknown(p.ttft_ms, "ms")),
        ("TPOT", or_unknown(p.tpot_ms, "ms")),
        ("whole request", or_unknown(p.e2e_ms, "ms")),
        ("prefill", or_unknown(p.prefill_tokens_per_s, "tokens/s")),
        (
            "decoding",
            format!(
                "{}, {}, {}",
                or_unknown(p.decode_tokens_per_s, "tokens/s"),
                or_unknown(p.tokens_per_ms, "tokens/ms"),
                or_unknown(p.ms_per_token, "ms/token")
            ),
        ),
        ("both", or_unknown(p.total_tokens_per_s, "tokens/s")),
        ("energy a token", or_unknown(p.energy_per_token_mj, "mJ at the board's limit")),
        (
            "memory",
            format!(
                "{} weights, {} KV cache, {} at most: {fits}",
                bytes(p.memory.weights_bytes),
                bytes(p.memory.kv_bytes),
                bytes(p.memory.peak_bytes)
            ),
        ),
    ];
    let rows: Vec<_> = lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    text += &columns("<<", &rows);
    let _ = write!(text, "\nPrefill\n{}", operators(&p.prefill));
    let _ = write!(text, "\nDecode step, {} keys\n{}", p.decode_context, operators(&p.decode));
    text.push('\n');
    for note in &p.notes {
        let _ = writeln!(text, "- {note}");
    }
    text
}

fn operators(pass: &PassCost) -> String {
    let heading = texts(&["OPERATOR", "FLOP", "BYTES", "FLOP/byte", "ms", "share", "BOUND"]);
    let share =
        |ms: f64| if pass.time_ms > 0.0 { format!("{:.0} %", 100.0 * ms / pass.time_ms) } else { String::new() };
    let intensity = |value: Option<f64>| value.map_or_else(String::new, rounded);
    let mut rows = vec![heading];
    for o in &pass.operators {
        rows.push(vec![
            o.name.to_owned(),
            si(o.flops),
            si(o.weight_bytes + o.kv_bytes + o.activation_bytes),
            intensity(o.intensity),
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
    columns("<>>>>><", &rows)
}

pub fn speculation(draft: &str, s: &Speculation, plain: &Prediction) -> String {
    let mut text = format!(
        "\nSpeculation with {draft} ({} of weights), against {} ms a plain step\n",
        figures::bytes(s.draft_weights_bytes as u64),
        rounded(s.plain_tpot_ms)
    );
    let heading =
        texts(&["GUESSES", "NODES", "LEVELS", "tokens a round", "draft ms", "check ms", "TPOT ms", "speed-up", ""]);
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
    let mut rows = vec![heading];
    for chain in s.chains.iter().filter(|c| c.nodes <= 8 || c.nodes == s.best_chain.nodes) {
        rows.push(row("chain", chain, if chain.nodes == s.best_chain.nodes { "best chain" } else { "" }));
    }
    rows.push(row("tree", &s.best_tree, if s.ranks_assumed { "best tree at most" } else { "best tree" }));
    text += &columns("<>>>>>>><", &rows);
    let load =
        if s.draft_load_ms > 0.0 { format!(" and load ({} ms)", rounded(s.draft_load_ms)) } else { String::new() };
    let _ = match (plain.ttft_ms, s.break_even_tokens) {
        (None, _) => writeln!(text, "- from which length it pays is not known: the prefill is not predicted"),
        (Some(_), Some(n)) => writeln!(
            text,
            "- it pays for the draft's prefill ({} ms){load} from {} tokens of output on",
            rounded(s.draft_prefill_ms),
            n.ceil().max(1.0)
        ),
        (Some(_), None) => writeln!(text, "- it never pays: a plain step is faster"),
    };
    if let (Some(with), Some(without)) = (s.e2e_ms, plain.e2e_ms) {
        let _ = writeln!(text, "- the whole request: {} ms with it, {} ms without", rounded(with), rounded(without));
    }
    if s.ranks_assumed {
        text += "- the tree takes each guess after the best to hit as much of what is left as the best does of all: optimistic, and \
                 not counted in what pays; --rank-acceptance says better\n";
    }
    text
}

pub fn calibration(c: &Calibration) -> String {
    let mut text = format!(
        "\nMeasured: copy {} GB/s, peak {} GFLOP/s in f32. Times are the least disturbed of each size's requests (all\n\
         are in --json), errors predicted over measured, less one.\n",
        rounded(c.copy_gb_s),
        rounded(c.peak_gflop_s)
    );
    let heading = texts(&["MODEL", "IN", "OUT", "TTFT ms", "error", "TPOT ms", "error", ""]);
    let row = |size: &Size, use_: &str| {
        let percent = |error: f64| format!("{:+.0} %", 100.0 * error);
        vec![
            size.model.clone(),
            size.input.to_string(),
            size.output.to_string(),
            rounded(size.ttft_ms),
            percent(size.ttft_error),
            rounded(size.tpot_ms),
            percent(size.tpot_error),
            use_.to_owned(),
        ]
    };
    let mut rows = vec![heading];
    rows.extend(c.fitted.iter().map(|size| row(size, "fitted")));
    rows.extend(c.checked.iter().map(|size| row(size, "checked")));
    text += &columns("<>>>>>><", &rows);
    for (name, sizes) in [("fitted", &c.fitted), ("checked", &c.checked)] {
        if !sizes.is_empty() {
            let middle = |of: fn(&Size) -> f64| {
                let errors: Vec<f64> = sizes.iter().map(|size| of(size).abs()).collect();
                format!("{:.1} %", 100.0 * understory_engine::lab::statistics::median(&errors))
            };
            let (ttft, tpot) = (middle(|size| size.ttft_error), middle(|size| size.tpot_error));
            let _ = writeln!(text, "- median error where {name}: TTFT {ttft}, TPOT {tpot}");
        }
    }
    text
}

pub fn models(shapes: &[Shape]) -> String {
    let heading = texts(&["NAME", "PARAMETERS", "LAYERS", "WIDTH", "CONTEXT", "SHAPE FROM"]);
    let row = |shape: &Shape| {
        vec![
            shape.label.clone(),
            si(parameters(&shape.config) as f64).trim_end().to_owned(),
            shape.config.n_layers().to_string(),
            shape.config.hidden_size.to_string(),
            shape.config.max_position_embeddings.to_string(),
            shape.source.clone(),
        ]
    };
    let rows: Vec<_> = std::iter::once(heading).chain(shapes.iter().map(row)).collect();
    columns("<>>>><", &rows)
}

pub fn devices(devices: &[DeviceProfile]) -> String {
    let heading = texts(&["NAME", "f32", "f16", "bf16", "int8", "GB/s", "GB", "W", "DEVICE"]);
    let figure = |value: Option<f64>| value.map_or_else(|| "?".into(), |value| format!("{value}"));
    let row = |d: &DeviceProfile| {
        vec![
            d.name.clone(),
            figure(d.tflops.f32),
            figure(d.tflops.f16),
            figure(d.tflops.bf16),
            figure(d.tflops.int8),
            figure(Some((d.bandwidth_gb_s * 100.0).round() / 100.0)),
            figure(d.memory_gb),
            figure(d.power_w),
            d.label.clone(),
        ]
    };
    let rows: Vec<_> = std::iter::once(heading).chain(devices.iter().map(row)).collect();
    let table = columns("<>>>>>>><", &rows);
    format!("{table}\nTFLOP/s by type, without sparsity; ? is not known. --json has the source of each figure.\n")
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
