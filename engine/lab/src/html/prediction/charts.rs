//! The charts of a prediction: measured points over predicted curves, and the bar of memory.

use maud::{Markup, html};
use understory_charts::plot::{Axis, Mark, Plot, SMALL, Series};
use understory_charts::rows::{self as bars, Stack};
use understory_protocol::MeasuredRequest;
use understory_protocol::definitions::Definition;
use understory_protocol::figures::rounded;

use crate::html::{Table, figure};
use crate::predict::ask::{Answer, Point};
use crate::predict::{Proposal, Speculation};

use super::{defined, texts};

/// The colours of what is predicted, of this request, of what was measured and used, and of what was held out.
const PREDICTED: usize = 1;
const REQUEST: usize = 0;
const MEASURED: usize = 2;
const HELD_OUT: usize = 4;

/// The scale of x; its ends are those of the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Across {
    /// from 0
    Even,
    /// from 1, each step the double of the one before
    Doubling,
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
    fn html(&self) -> Markup {
        let heading = texts([self.x, self.title, ""]);
        let row = |name: &str, &(x, y): &Point| vec![format!("{x:.0}"), rounded(y), name.to_owned()];
        let of = |series: &Series| series.points.iter().map(|point| row(&series.name, point)).collect::<Vec<_>>();
        let table = Table { heading, rows: self.series.iter().flat_map(of).collect(), names: 0 };
        let points = || self.series.iter().flat_map(|series| &series.points);
        let most = points().map(|point| point.0).fold(1.0, f64::max);
        let x = match self.across {
            Across::Even => Axis::counting(most, self.x),
            Across::Doubling => Axis::doubling([1.0, most], self.x),
        };
        let y = Axis::up_to(points().map(|point| point.1).fold(0.0, f64::max), "");
        let plot = Plot { title: self.title, frame: SMALL, x, y, reference: None, series: &self.series };
        figure(self.title, self.note, &html! { (plot.svg()) (plot.legend()) }, &self.definitions, &table)
    }
}

fn series(name: &str, colour: usize, mark: Mark, points: Vec<Point>) -> Series {
    Series { name: name.into(), colour, class: "", mark, points, titles: Vec::new() }
}

fn dashed(name: &str, colour: usize, points: Vec<Point>) -> Series {
    Series { class: "dashed", ..series(name, colour, Mark::Line, points) }
}

fn line(name: &str, points: &[Point]) -> Series {
    series(name, PREDICTED, Mark::Line, points.to_vec())
}

fn this_request(points: Vec<Point>) -> Series {
    series("these sizes", REQUEST, Mark::Ring, points)
}

/// The measured requests, at the points that `at` makes of them.
fn measured(answer: &Answer, at: impl Fn(&MeasuredRequest) -> Option<Point>) -> Vec<Series> {
    let dtype = answer.loaded_dtype.map_or("", |dtype| dtype.name());
    let is_held_out = |one: &MeasuredRequest| answer.fitted.as_ref().is_some_and(|fitted| fitted.held_out(one));
    let points = |name: &str, colour, held_out: bool| {
        let of = answer.measured.iter().filter(|one| is_held_out(one) == held_out);
        series(name, colour, Mark::Point, of.filter_map(&at).collect())
    };
    let both = [
        points(&format!("measured here, {dtype} weights"), MEASURED, false),
        points("measured, not used in the fit", HELD_OUT, true),
    ];
    both.into_iter().filter(|series| !series.points.is_empty()).collect()
}

/// What to know where points are of one device and the curve of another.
fn other_device(answer: &Answer) -> &'static str {
    let differ = answer.fitted.is_none() && !(answer.measured.is_empty() && answer.verify_ms.is_empty());
    if differ { " The curve is another device's than the measured points." } else { "" }
}

pub fn step(answer: &Answer) -> Markup {
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

pub fn ttft(answer: &Answer) -> Markup {
    let Some(ttft_ms) = answer.prediction.ttft_ms else { return html! {} };
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

pub fn throughput(answer: &Answer) -> Markup {
    let all = &answer.curves.batch;
    if all.is_empty() {
        return html! {};
    }
    let fits = |fits: &Option<bool>| *fits != Some(false);
    let inside: Vec<Point> = all.iter().filter(|(_, fit)| fits(fit)).map(|(point, _)| *point).collect();
    let beyond: Vec<Point> = all.iter().filter(|(_, fit)| !fits(fit)).map(|(point, _)| *point).collect();
    let this_batch = all.iter().map(|(point, _)| *point).filter(|point| point.0 == answer.case.batch as f64);
    let mut series = vec![this_request(this_batch.collect())];
    if !inside.is_empty() {
        series.insert(0, line("predicted", &inside));
    }
    if !beyond.is_empty() {
        let points = inside.last().copied().into_iter().chain(beyond).collect();
        series.push(dashed("more than the device's memory", HELD_OUT, points));
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

pub fn speed_up(speculation: &Speculation) -> Markup {
    let points = |all: &[Proposal]| -> Vec<Point> { all.iter().map(|one| (one.nodes as f64, one.speed_up)).collect() };
    let trees = if speculation.ranks_assumed { "best tree, at most" } else { "best tree" };
    let widest = speculation.chains.len().max(speculation.trees.len()) as f64;
    let even = dashed("plain decoding", REQUEST, vec![(0.0, 1.0), (widest, 1.0)]);
    let of_trees = series(trees, HELD_OUT, Mark::Line, points(&speculation.trees));
    let mut all = vec![line("chain", &points(&speculation.chains)), even];
    if !of_trees.points.is_empty() {
        all.push(of_trees);
    }
    let series = all;
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

pub fn verify(answer: &Answer) -> Markup {
    if answer.verify_ms.is_empty() {
        return html! {};
    }
    let points = answer.verify_ms.iter().map(|&(rows, ms)| (rows as f64, ms)).collect();
    let measured = series("measured, not used in the fit", HELD_OUT, Mark::Point, points);
    let series = vec![line("predicted", &answer.curves.verify), measured];
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

/// A bar of what is needed, and one of what there is.
pub fn memory(answer: &Answer) -> Markup {
    let m = &answer.prediction.memory;
    let (unit, by) = if m.peak_bytes >= 1e9 { ("GB", 1e-9) } else { ("MB", 1e-6) };
    let activations = m.peak_bytes - m.weights_bytes - m.kv_bytes;
    let parts = [m.weights_bytes, m.kv_bytes, activations].map(|bytes| bytes * by);
    let needed: Vec<(usize, f64)> = parts.into_iter().enumerate().map(|(nth, part)| (nth + 1, part)).collect();
    let stack = |name: &str, parts: Vec<(usize, f64)>| {
        let figure = rounded(parts.iter().map(|part| part.1).sum());
        Stack { name: name.into(), parts, figure }
    };
    let mut stacks = vec![stack("needed", needed)];
    if let Some(gb) = answer.profile.memory_gb {
        stacks.push(stack("device has", vec![(0, gb * 1e9 * by)]));
    }
    let names = texts(["the device", "weights", "KV cache", "largest activations"]);
    let fits = match m.fits {
        Some(true) => "It fits.",
        Some(false) => "It does NOT fit.",
        None => "The device's memory is not known.",
    };
    let title = format!("Memory of one device, {unit}");
    html! { p { strong { (fits) } } (bars::stacks(&title, &stacks, &names)) }
}
