//! A prediction as a page shows it: charts with measured points over predicted curves, memory, operators, and what all of
//! it assumes.

use std::fmt::Write as _;

use understory_protocol::definitions::Definition;
use understory_protocol::definitions::prediction::explain;
use understory_protocol::figures::{bytes, rounded};
use understory_protocol::{
    Measured, Precision, PredictReply, PredictRequest, PredictedDevice, PredictedModel, Result, SelectOption,
};

use crate::predict::ask::{Answer, Point, Predictor};
use crate::predict::models::{self, Shape};
use crate::predict::{DeviceProfile, PassCost, Speculation, device, rows};

use super::charts::{self, Stack};
use super::curves::{Across, Mark, Series, curves};
use super::{Table, escape, figure, meaning};

/// The colours of what is predicted, of this request, of what was measured and used, and of what was held out.
const PREDICTED: usize = 1;
const REQUEST: usize = 0;
const MEASURED: usize = 2;
const HELD_OUT: usize = 4;

/// Asks `predictor`, and writes down what it says.
///
/// # Errors
/// Those of [`Predictor::ask`].
pub fn reply(predictor: &mut Predictor, request: &PredictRequest) -> Result<PredictReply> {
    let answer = predictor.ask(request)?;
    let loaded = predictor.loaded();
    let label = |shape: Option<&Shape>| match shape {
        Some(shape) => (format!("{}, loaded", shape.label), true),
        None => ("none is loaded".into(), false),
    };
    let shapes = models::models()?;
    let named = |chosen: Option<&PredictedModel>| -> Vec<SelectOption> {
        let is = |name: &str| chosen == Some(&PredictedModel::Named(name.into()));
        shapes.iter().map(|model| option(&model.name, &model.name, is(&model.name), true)).collect()
    };
    let (target, has_target) = label(loaded.map(|loaded| &loaded.target));
    let (draft, has_draft) = label(loaded.and_then(|loaded| loaded.draft.as_ref()));
    let (model, drafted) = (&request.model, request.draft.as_ref());
    let is_here = request.device == PredictedDevice::Here;
    let here = option("here", "this device, as measured", is_here, answer.not_here.is_none());
    let device = |device: DeviceProfile| {
        let is = request.device == PredictedDevice::Named(device.name.clone());
        option(&device.name, &device.label, is, true)
    };
    let dtype = |dtype: Precision| option(dtype.name(), dtype.name(), dtype == request.case.dtype, true);
    Ok(PredictReply {
        models: [vec![option("target", &target, *model == PredictedModel::Target, has_target)], named(Some(model))]
            .concat(),
        drafts: [
            vec![
                option("none", "none: plain decoding", drafted.is_none(), true),
                option("draft", &draft, drafted == Some(&PredictedModel::Draft), has_draft),
            ],
            named(drafted),
        ]
        .concat(),
        devices: std::iter::once(here).chain(device::devices()?.into_iter().map(device)).collect(),
        dtypes: Precision::ALL.map(dtype).into(),
        not_here: answer.not_here.clone(),
        html: html(&answer),
    })
}

fn option(value: &str, label: &str, selected: bool, enabled: bool) -> SelectOption {
    SelectOption { value: value.into(), label: label.into(), selected, enabled }
}

fn figures(answer: &Answer) -> String {
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
    let mut out = String::from("<dl class=\"figures\">");
    for (id, value) in all.into_iter().chain(of_rounds.into_iter().flatten()) {
        let Some(Definition { name, unit, .. }) = explain(id) else { continue };
        let text = match (*unit, value) {
            (_, None) if id == "break_even_tokens" => "never".into(),
            (_, None) => "not known".into(),
            ("bytes", Some(value)) => bytes(value as u64),
            ("tokens", Some(value)) => format!("{} tokens", value.ceil().max(1.0)),
            (unit, Some(value)) => format!("{} {unit}", rounded(value)),
        };
        let _ = write!(
            out,
            "<div><dt>{name} <button type=\"button\" class=\"ask\" data-figure=\"{id}\" aria-label=\"What is \
             “{name}”?\">?</button></dt><dd>{text}</dd></div>"
        );
    }
    out + "</dl>"
}

fn html(answer: &Answer) -> String {
    let title = rows::title(&answer.model, &answer.profile, &answer.case).replace('\n', "; ");
    let mut out =
        format!("<p class=\"predicted-title\">{}</p>{}<div class=\"charts\">", escape(&title), figures(answer));
    out.push_str(&step(answer));
    out.push_str(&ttft(answer));
    match (&answer.speculation, &answer.draft) {
        (Some(speculation), Some(_)) => out.push_str(&speed_up(speculation)),
        _ => out.push_str(&throughput(answer)),
    }
    if !answer.verify_ms.is_empty() {
        out.push_str(&verify(answer));
    }
    out.push_str("</div>");
    if let (Some(speculation), Some(draft)) = (&answer.speculation, &answer.draft) {
        let _ = write!(out, "<h2>Speculation with {}</h2>{}", escape(&draft.label), rounds(speculation, answer));
    }
    out.push_str(&fitted(answer));
    let _ = write!(out, "<h2>Memory</h2>{}", memory(answer));
    let context = answer.prediction.decode_context;
    let _ = write!(out, "<h2>Operators of a decode step, {context} keys</h2>{}", operators(&answer.prediction.decode));
    let _ = write!(out, "<h2>Operators of the prefill</h2>{}", operators(&answer.prediction.prefill));
    out.push_str(&meaning(&defined(["time", "flops", "bytes", "intensity", "bound"])));
    let mut assumed = answer.prediction.notes.clone();
    assumed.push(format!("the shape of {}: {}", answer.model.label, answer.model.source));
    assumed.extend(answer.profile.origins());
    let _ = write!(out, "<h2>What is assumed</h2>{}", list(&assumed));
    out
}

fn list(sentences: &[String]) -> String {
    let items: String = sentences.iter().map(|sentence| format!("<li>{}</li>", escape(sentence))).collect();
    format!("<ul>{items}</ul>")
}

fn defined<const N: usize>(ids: [&str; N]) -> Vec<&'static Definition> {
    ids.into_iter().filter_map(explain).collect()
}

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).into()
}

/// A chart of a curve, the request itself and what was measured, with the curve as its table.
struct Chart<'a> {
    title: &'a str,
    note: &'a str,
    x: &'a str,
    across: Across,
    series: Vec<Series>,
    definitions: Vec<&'static Definition>,
}

impl Chart<'_> {
    fn html(&self) -> String {
        let heading = texts([self.x, self.title, ""]);
        let row = |name: &str, &(x, y): &Point| vec![format!("{x:.0}"), rounded(y), name.to_owned()];
        let of = |series: &Series| series.points.iter().map(|point| row(&series.name, point)).collect::<Vec<_>>();
        let table = Table { heading, rows: self.series.iter().flat_map(of).collect(), names: 0 };
        let svg = curves(self.title, self.x, self.across, &self.series);
        figure(self.title, self.note, &svg, &self.definitions, &table)
    }
}

fn line(name: &str, points: &[Point]) -> Series {
    Series { name: name.into(), colour: PREDICTED, points: points.to_vec(), mark: Mark::Line }
}

fn this_request(points: Vec<Point>) -> Series {
    Series { name: "these sizes".into(), colour: REQUEST, points, mark: Mark::Ring }
}

/// The measured requests, at the points that `at` makes of them.
fn measured(answer: &Answer, at: impl Fn(&Measured) -> Option<Point>) -> Vec<Series> {
    let dtype = answer.loaded_dtype.map_or("", |dtype| dtype.name());
    let is_held_out = |one: &Measured| answer.fitted.as_ref().is_some_and(|fitted| fitted.held_out(one));
    let series = |name: String, colour, held_out: bool| {
        let of = answer.measured.iter().filter(|one| is_held_out(one) == held_out);
        Series { name, colour, points: of.filter_map(&at).collect(), mark: Mark::Point }
    };
    let both = [
        series(format!("measured here, {dtype} weights"), MEASURED, false),
        series("measured, not used in the fit".into(), HELD_OUT, true),
    ];
    both.into_iter().filter(|series| !series.points.is_empty()).collect()
}

/// What to know where points are of one device and the curve of another.
fn other_device(answer: &Answer) -> &'static str {
    let differ = answer.fitted.is_none() && !(answer.measured.is_empty() && answer.verify_ms.is_empty());
    if differ { " The curve is another device's than the measured points." } else { "" }
}

fn step(answer: &Answer) -> String {
    let p = &answer.prediction;
    let mut series = vec![line("predicted", &answer.curves.step)];
    series.push(this_request(vec![(p.decode_context as f64, p.decode.time_ms)]));
    series.extend(measured(answer, |one| Some(((one.input + one.output / 2) as f64, one.tpot_ms))));
    let note = format!(
        "A step of decoding with so many tokens before it. TPOT is the mean of such steps.{}",
        other_device(answer)
    );
    let chart = Chart {
        title: "Decode step, ms",
        note: &note,
        x: "keys seen",
        across: Across::Even,
        series,
        definitions: defined(["tpot_ms"]),
    };
    chart.html()
}

fn ttft(answer: &Answer) -> String {
    let Some(ttft_ms) = answer.prediction.ttft_ms else { return String::new() };
    let mut series = vec![line("predicted", &answer.curves.ttft)];
    series.push(this_request(vec![(answer.case.input as f64, ttft_ms)]));
    series.extend(measured(answer, |one| Some((one.input as f64, one.ttft_ms?))));
    let note = format!("To the first token of prompts of other lengths.{}", other_device(answer));
    let chart = Chart {
        title: "TTFT, ms",
        note: &note,
        x: "tokens of the prompt",
        across: Across::Even,
        series,
        definitions: defined(["ttft_ms"]),
    };
    chart.html()
}

fn throughput(answer: &Answer) -> String {
    let all = &answer.curves.batch;
    if all.is_empty() {
        return String::new();
    }
    let fits = |fits: &Option<bool>| *fits != Some(false);
    let inside: Vec<Point> = all.iter().filter(|(_, fit)| fits(fit)).map(|(point, _)| *point).collect();
    let beyond: Vec<Point> = all.iter().filter(|(_, fit)| !fits(fit)).map(|(point, _)| *point).collect();
    let here = all.iter().map(|(point, _)| *point).filter(|point| point.0 == answer.case.batch as f64);
    let mut series = vec![this_request(here.collect())];
    if !inside.is_empty() {
        series.insert(0, line("predicted", &inside));
    }
    if !beyond.is_empty() {
        let name = "more than the device's memory".into();
        let points = inside.last().copied().into_iter().chain(beyond).collect();
        series.push(Series { name, colour: HELD_OUT, points, mark: Mark::Dashed });
    }
    let chart = Chart {
        title: "Decoding, tokens/s",
        note: "Of all sequences together. While weights decide a step's time, more sequences cost nothing.",
        x: "sequences at once",
        across: Across::Doubling,
        series,
        definitions: defined(["decode_tokens_per_s"]),
    };
    chart.html()
}

fn speed_up(speculation: &Speculation) -> String {
    let points = |all: &[crate::predict::Proposal]| -> Vec<Point> {
        all.iter().map(|one| (one.nodes as f64, one.speed_up)).collect()
    };
    let trees = if speculation.ranks_assumed { "best tree, at most" } else { "best tree" };
    let widest = speculation.chains.len().max(speculation.trees.len()) as f64;
    let even = Series {
        name: "plain decoding".into(),
        colour: REQUEST,
        points: vec![(0.0, 1.0), (widest, 1.0)],
        mark: Mark::Dashed,
    };
    let of_trees =
        Series { name: trees.into(), colour: HELD_OUT, points: points(&speculation.trees), mark: Mark::Line };
    let mut series = vec![line("chain", &points(&speculation.chains)), even];
    if !of_trees.points.is_empty() {
        series.push(of_trees);
    }
    let chart = Chart {
        title: "Speed-up over plain decoding",
        note: "By the number of guesses that a round checks. Below the dashed line, guessing loses.",
        x: "guesses a round",
        across: Across::Even,
        series,
        definitions: defined(["speed_up", "expected_tokens", "acceptance"]),
    };
    chart.html()
}

fn verify(answer: &Answer) -> String {
    let points = answer.verify_ms.iter().map(|&(rows, ms)| (rows as f64, ms)).collect();
    let name = "measured, not used in the fit".into();
    let series =
        vec![line("predicted", &answer.curves.verify), Series { name, colour: HELD_OUT, points, mark: Mark::Point }];
    let note = format!(
        "A pass of the target over so many tokens at once, with the wait for it, as costs of passes are measured.{}",
        other_device(answer)
    );
    let chart = Chart {
        title: "Checking guesses, ms",
        note: &note,
        x: "rows",
        across: Across::Even,
        series,
        definitions: defined(["time"]),
    };
    chart.html()
}

fn rounds(speculation: &Speculation, answer: &Answer) -> String {
    let heading =
        texts(["guesses", "nodes", "levels", "tokens a round", "draft ms", "check ms", "TPOT ms", "speed-up", ""]);
    let table = Table { heading, rows: rows::proposals(speculation), names: 1 };
    let mut sentences = vec![format!("a plain step of this context takes {} ms", rounded(speculation.plain_tpot_ms))];
    sentences.extend(rows::of_speculation(speculation, &answer.prediction));
    let definitions = defined(["expected_tokens", "round_ms", "speed_up", "break_even_tokens", "acceptance"]);
    table.html("Ways of guessing") + &list(&sentences) + &meaning(&definitions)
}

/// What the device at hand was fitted to, and how far it is off.
fn fitted(answer: &Answer) -> String {
    let Some(fitted) = &answer.fitted else { return String::new() };
    let percent = |error: f64| format!("{:+.0} %", 100.0 * error);
    let row = |size: &crate::predict::local_fit::FittedSize| {
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
    format!("<h2>This device, as measured</h2>{}{}", table.html("Measured sizes"), list(&sentences))
}

/// A bar of what is needed, and one of what there is.
fn memory(answer: &Answer) -> String {
    let m = &answer.prediction.memory;
    let (unit, by) = if m.peak_bytes >= 1e9 { ("GB", 1e-9) } else { ("MB", 1e-6) };
    let activations = m.peak_bytes - m.weights_bytes - m.kv_bytes;
    let parts = [m.weights_bytes, m.kv_bytes, activations].map(|bytes| bytes * by);
    let needed: Vec<(usize, f64)> = parts.into_iter().enumerate().map(|(nth, part)| (nth + 1, part)).collect();
    let mut stacks = vec![Stack { name: "needed".into(), parts: needed }];
    if let Some(gb) = answer.profile.memory_gb {
        stacks.push(Stack { name: "device has".into(), parts: vec![(0, gb * 1e9 * by)] });
    }
    let names = texts(["the device", "weights", "KV cache", "largest activations"]);
    let fits = match m.fits {
        Some(true) => "It fits.",
        Some(false) => "It does NOT fit.",
        None => "The device's memory is not known.",
    };
    let title = format!("Memory of one device, {unit}");
    format!("<p><strong>{fits}</strong></p>{}", charts::stacks(&title, &stacks, &names))
}

fn operators(pass: &PassCost) -> String {
    let heading = texts(["operator", "FLOP", "bytes", "FLOP/byte", "ms", "share", "bound"]);
    Table { heading, rows: rows::operators(pass), names: 1 }.html("Operators")
}

#[cfg(test)]
mod tests {
    use super::*;
    use understory_protocol::Case;

    /// The figures on the page are those of `predict`, and what was asked for is selected. A break-even of a pair that
    /// never pays is not called unknown.
    #[test]
    fn a_reply_shows_what_was_predicted() {
        let case = Case {
            dtype: Precision::Bf16,
            input: 1024,
            output: 256,
            batch: 1,
            chunk: None,
            tensor_parallel: 1,
            lora: None,
        };
        let mut request = PredictRequest {
            model: PredictedModel::Named("llama-3.1-8b".into()),
            draft: None,
            acceptance: vec![0.0],
            device: PredictedDevice::Named("genz-a100-40gb".into()),
            case,
            measured: Vec::new(),
            verify_ms: Vec::new(),
        };
        let mut predictor = Predictor::default();
        let tpot = predictor.ask(&request).unwrap().prediction.tpot_ms.unwrap();
        let plain = reply(&mut predictor, &request).unwrap();
        assert!(plain.html.contains(&format!("<dd>{} ms</dd>", rounded(tpot))), "{}", plain.html);
        let selected = |options: &[SelectOption]| -> Vec<String> {
            options.iter().filter(|option| option.selected).map(|option| option.value.clone()).collect()
        };
        let disabled = |options: &[SelectOption]| -> Vec<String> {
            options.iter().filter(|option| !option.enabled).map(|option| option.value.clone()).collect()
        };
        assert_eq!(
            (selected(&plain.models), disabled(&plain.models)),
            (vec!["llama-3.1-8b".into()], vec!["target".into()])
        );
        assert_eq!((selected(&plain.drafts), selected(&plain.dtypes)), (vec!["none".into()], vec!["bf16".into()]));
        assert_eq!(disabled(&plain.devices), ["here"]);
        assert!(plain.not_here.is_some());
        request.draft = Some(PredictedModel::Named("llama-3.2-1b".into()));
        let drafted = reply(&mut predictor, &request).unwrap();
        assert!(drafted.html.contains("<dd>never</dd>") && drafted.html.contains("Speculation with llama-3.2-1b"));
    }
}
