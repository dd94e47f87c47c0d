//! Predictions as text.

use std::fmt::Write as _;

use understory_lab::predict::models::ModelShape;
use understory_lab::predict::rows::{self, si};
use understory_lab::predict::{DeviceProfile, PassCost, Prediction, Speculation, parameters};
use understory_protocol::Case;
use understory_protocol::figures::{self, rounded};
use understory_protocol::formulas::median;

use super::measured::{ProfileCalibration, Size, Typical};
use crate::output::columns;

/// A figure that may be unknown.
fn or_unknown(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "unknown".into(), |value| format!("{} {unit}", rounded(value)))
}

fn texts(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

pub fn prediction(model: &ModelShape, profile: &DeviceProfile, case: &Case, prediction: &Prediction) -> String {
    let p = prediction;
    let mut text = format!("{}\n\n", rows::title(model, profile, case));
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
    let rows: Vec<_> = std::iter::once(heading).chain(rows::operators(pass)).collect();
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
    let rows: Vec<_> = std::iter::once(heading).chain(rows::proposals(s)).collect();
    text += &columns("<>>>>>>><", &rows);
    for sentence in rows::of_speculation(s, plain) {
        let _ = writeln!(text, "- {sentence}");
    }
    if s.ranks_assumed {
        text += "- --rank-acceptance says what the other guesses hit\n";
    }
    text
}

pub fn calibration(c: &ProfileCalibration, typical: Typical) -> String {
    let mut text = format!(
        "\nMeasured: copy {} GB/s, peak {} GFLOP/s in f32. Errors are predicted over measured, less one: against the least\n\
         disturbed of a size's requests, and with what disturbs this machine (TTFT x {:.2}, TPOT x {:.2}: medians of the\n\
         fitted sizes over their least) against the median of all its requests. --json has every request.\n",
        rounded(c.copy_gb_s),
        rounded(c.peak_gflop_s),
        c.disturbance.ttft,
        c.disturbance.tpot
    );
    let heading = texts(&[
        "MODEL", "IN", "OUT", "TTFT ms", "error", "median", "error", "TPOT ms", "error", "median", "error", "",
    ]);
    let percent = |error: f64| format!("{:+.0} %", 100.0 * error);
    let row = |size: &Size, use_: &str| {
        vec![
            size.model.clone(),
            size.input.to_string(),
            size.output.to_string(),
            rounded(size.ttft_ms),
            percent(size.ttft_error),
            rounded(median(&size.ttft_samples_ms)),
            percent(size.ttft_median_error),
            rounded(size.tpot_ms),
            percent(size.tpot_error),
            rounded(median(&size.tpot_samples_ms)),
            percent(size.tpot_median_error),
            use_.to_owned(),
        ]
    };
    let mut rows = vec![heading];
    rows.extend(c.fitted.iter().map(|size| row(size, "fitted")));
    rows.extend(c.checked.iter().map(|size| row(size, "checked")));
    text += &columns("<>>>>>>>>>><", &rows);
    for (name, sizes) in [("fitted", &c.fitted), ("checked", &c.checked)] {
        if !sizes.is_empty() {
            let middle = |of: fn(&Size) -> f64| {
                let errors: Vec<f64> = sizes.iter().map(|size| of(size).abs()).collect();
                format!("{:.1} %", 100.0 * median(&errors))
            };
            let (ttft, tpot) = (middle(|size| size.ttft_error), middle(|size| size.tpot_error));
            let medians = (middle(|size| size.ttft_median_error), middle(|size| size.tpot_median_error));
            let _ = writeln!(
                text,
                "- median error where {name}: TTFT {ttft}, TPOT {tpot}; of the medians TTFT {}, TPOT {}",
                medians.0, medians.1
            );
        }
    }
    if let Some(ttft_ms) = typical.ttft_ms {
        let tpot = typical.tpot_ms.map_or(String::new(), |ms| format!(", TPOT {} ms", rounded(ms)));
        let _ =
            writeln!(text, "- as disturbed as this machine was, the request takes: TTFT {} ms{tpot}", rounded(ttft_ms));
    }
    text
}

pub fn models(shapes: &[ModelShape]) -> String {
    let heading = texts(&["NAME", "PARAMETERS", "LAYERS", "WIDTH", "CONTEXT", "SHAPE FROM"]);
    let row = |shape: &ModelShape| {
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
    let figures = ["tflops.f32", "tflops.f16", "tflops.bf16", "tflops.int8", "bandwidth_gb_s", "memory_gb", "power_w"];
    let cell = |d: &DeviceProfile, name: &str| match d.figure(name) {
        Some(value) => format!("{}{}", (value * 100.0).round() / 100.0, if d.is_unverified(name) { "*" } else { "" }),
        None => "?".into(),
    };
    let row = |d: &DeviceProfile| {
        let cells = figures.iter().map(|name| cell(d, name));
        std::iter::once(d.name.clone()).chain(cells).chain([d.label.clone()]).collect()
    };
    let rows: Vec<_> = std::iter::once(heading).chain(devices.iter().map(row)).collect();
    let table = columns("<>>>>>>><", &rows);
    format!(
        "{table}\nTFLOP/s by type, without sparsity. ? is not known, * was not found in a source that was opened. --json has \
         the source of each figure.\n"
    )
}
