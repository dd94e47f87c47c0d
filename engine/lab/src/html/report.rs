//! A report as a page of its own.

use maud::{Markup, html};
use understory_protocol::definitions;
use understory_protocol::figures::{binary_bytes, bytes, rounded};

use crate::metrics::Metric;
use crate::percentiles;
use crate::rendering::flag_name;
use crate::report::{Build, Model, Report};
use crate::view::{Answer, View, estimate, named, percent};

use super::plots;
use super::{Table, document, meaning};

/// Metrics of the table of all cases.
const SHOWN: [Metric; 12] = [
    Metric::StartTtft,
    Metric::Ttft,
    Metric::EngineTtft,
    Metric::Tpot,
    Metric::Itl,
    Metric::E2el,
    Metric::TokenGeneration,
    Metric::PrefillRate,
    Metric::OutputRate,
    Metric::AcceptanceLength,
    Metric::VerificationEfficiency,
    Metric::Repetition,
];

pub fn page(report: &Report) -> String {
    let view = View::new(report);
    let title = format!("{}: {}", report.protocol.scenario, report.device.label);
    let slowest = percentiles::table(report).map(|(heading, rows)| Table { heading, rows, names: 1 });
    let body = html! {
        h1 { (title) }
        p class="quiet" { (summary(report)) }
        @if let Some(limits) = &report.protocol.limits { p class="quiet" { (limits.words()) } }
        (flags(&view))
        (advice(&view))
        h2 { "Charts" }
        div class="figures" { (plots::all(&view)) }
        (answers(&view))
        h2 { "All cases" }
        (cases(&view).html("All cases"))
        @if let Some(table) = slowest {
            h2 { "The slowest runs" }
            p { (percentiles::NOTE) }
            (table.html("The slowest runs"))
        }
        (meaning(definitions::all()))
        h2 { "What it ran on" }
        (environment(report).html("What it ran on"))
        p class="quiet" {
            "The files beside this one hold the rest: report.json has every run with the time of every token, samples.csv \
             a line a run. " code { "understory compare" } " sets report.json beside those of other devices."
        }
    };
    document(&title, &body)
}

fn summary(report: &Report) -> String {
    let (model, protocol) = (&report.model, &report.protocol);
    let draft = model.draft.as_ref().map_or(String::new(), |draft| format!(" with {} as its draft", draft.id));
    let took = report.took_ms.map_or(String::new(), |ms| format!(", {} s", rounded(ms / 1e3)));
    format!(
        "{}{draft}, {} weights. {}, methods in turns. {}{took}.",
        model.target.id,
        model.target.storage(),
        protocol.words(),
        report.started_at.replace('T', " ").replace('Z', " UTC"),
    )
}

fn flags(view: &View<'_>) -> Markup {
    let report = view.report;
    // One line a kind: the cases' flags repeat themselves.
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new();
    let mut add = |name: &'static str, detail: String| match lines.iter_mut().find(|(known, _)| *known == name) {
        Some((_, details)) => details.push(detail),
        None => lines.push((name, vec![detail])),
    };
    for flag in &report.flags {
        add(flag_name(flag.kind), flag.detail.clone());
    }
    for group in view.groups() {
        for &index in &group.cases {
            let of = view.case(index);
            let of_case = |detail: &str| format!("{} of {}: {detail}", view.short(of.case.method), view.title(group));
            of.flags.iter().for_each(|flag| add(flag_name(flag.kind), of_case(&flag.detail)));
        }
    }
    html! {
        @if !lines.is_empty() {
            ul class="flags" aria-label="Before you believe it" {
                @for (name, details) in &lines {
                    li {
                        strong { (name) } ": "
                        @if let [only] = &details[..] {
                            (only)
                        } @else {
                            (details.len()) " cases"
                            details { summary { "Which" } ul { @for detail in details { li { (detail) } } } }
                        }
                    }
                }
            }
        }
    }
}

fn advice(view: &View<'_>) -> Markup {
    let advice = view.advice();
    let title = "From which length on speculation pays";
    let heading = ["prompt", "method", "pays", "faster at tokens"].map(String::from).into();
    let table = Table { heading, rows: advice.into_iter().map(Vec::from).collect(), names: 4 };
    html! {
        @if !table.rows.is_empty() {
            h2 { (title) }
            p { "With the model resident, by the time to the last token. Either: the runs do not tell them apart." }
            (table.html(title))
            (meaning(&[&definitions::E2EL, &definitions::BREAK_EVEN, &definitions::INTERVAL]))
        }
    }
}

fn answers(view: &View<'_>) -> Markup {
    let row = |answer: &Answer| {
        let figure = &answer.figure;
        let corrected = figure.corrected.map_or_else(|| "-".into(), rounded);
        let ours = if answer.ours.is_empty() { "-" } else { &answer.ours };
        let published = rounded(figure.published);
        let texts = [&answer.subject, &answer.metric, &published, &corrected, ours, &answer.beside, figure.note];
        texts.map(String::from).into()
    };
    let heading =
        ["published for", "metric", "published", "corrected", "ours", "ours is", "note"].map(String::from).into();
    let table = Table { heading, rows: view.answers().iter().map(row).collect(), names: 2 };
    html! {
        @if !table.rows.is_empty() {
            h2 { "Published figures" }
            p { "They are of other models on other devices: they show what a figure means, and are no target." }
            (table.html_with_class("Published figures", Some("notes")))
        }
    }
}

fn cases(view: &View<'_>) -> Table {
    let report = view.report;
    let has = |metric: &Metric| (0..report.cases.len()).any(|case| view.median(case, *metric).is_some());
    let wanted = |metric: &Metric| has(metric) && (*metric != Metric::StartTtft || view.has_starts());
    let shown: Vec<Metric> = SHOWN.into_iter().filter(wanted).collect();
    let mut heading: Vec<String> = ["case", "method", "runs", "prompt tokens"].map(String::from).into();
    heading.extend(shown.iter().map(|metric| named(metric.definition())));
    heading.push("speed-up".into());
    heading.extend(report.protocol.limits.map(|_| definitions::GOODPUT.name.to_owned()));
    let mut rows = Vec::new();
    for group in view.groups() {
        for &index in &group.cases {
            let of = view.case(index);
            let tokens = of.case.prompt.n_tokens.map_or("-".into(), |n| n.to_string());
            let mut row = vec![view.title(group), of.case.method.to_string(), of.samples.len().to_string(), tokens];
            let text = |found: Option<_>| found.as_ref().map_or("-".into(), estimate);
            row.extend(shown.iter().map(|&metric| text(view.median(index, metric))));
            row.push(text(view.speed_up(index)));
            row.extend(of.goodput.map(percent));
            rows.push(row);
        }
    }
    Table { heading, rows, names: 2 }
}

/// What is known; the rest is said to be unknown.
fn environment(report: &Report) -> Table {
    let unknown = || "unknown".to_owned();
    let or = |text: &Option<String>| text.clone().unwrap_or_else(unknown);
    let (engine, device, runtime, adapter) = (&report.engine, &report.device, &report.runtime, &report.device.adapter);
    let commit = match (&engine.commit, engine.dirty) {
        (Some(commit), Some(true)) => format!("{commit} with changes"),
        (Some(commit), _) => commit.clone(),
        (None, _) => unknown(),
    };
    let build = if engine.build == Build::Debug { "debug" } else { "release" };
    let power = device.power.as_ref().map_or_else(unknown, |power| {
        let source = power.on_battery.map(|battery| if battery { "battery" } else { "mains" }.to_owned());
        let percent = power.battery_percent.map(|percent| format!("{percent} %"));
        [source, percent, power.mode.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    let last_load = report.cases.iter().flat_map(|of| &of.samples).max_by_key(|s| s.order).and_then(|s| s.load);
    let load = |load: Option<f64>| load.map_or_else(unknown, rounded);
    let software = if adapter.software { ", emulated on the CPU" } else { "" };
    let driver = [adapter.driver.clone(), adapter.driver_info.clone()].into_iter().flatten().collect::<Vec<_>>();
    let mut facts = vec![
        ("Device", device.label.clone()),
        ("Operating system", or(&device.os)),
        ("Processor", or(&device.cpu)),
        ("Logical cores", device.cpu_cores.map_or_else(unknown, |n| n.to_string())),
        ("Memory", device.ram_bytes.map_or_else(unknown, binary_bytes)),
        ("Adapter", format!("{}{software}", or(&adapter.name))),
        ("Driver", if driver.is_empty() { unknown() } else { driver.join(" ") }),
        ("Backend", runtime.backend.clone()),
        ("Kernels", adapter.kernels.name().into()),
        ("Power", power),
        ("Heat", or(&device.thermal)),
        ("Load before and at the end", format!("{}, {}", load(device.load), load(last_load))),
        ("Pressure on the processor, at worst", or(&device.pressure)),
        ("Smallest step of the clock", runtime.timer_resolution_ms.map_or_else(unknown, |ms| format!("{ms} ms"))),
        ("Program", format!("Understory {}, {build} build", engine.version)),
        ("Commit", commit),
        ("wgpu, burn", format!("{}, {}", or(&engine.wgpu), or(&engine.burn))),
        ("Kernels' hash", engine.shaders_hash.clone()),
        ("Target", model(&report.model.target)),
    ];
    if let Some(draft) = &report.model.draft {
        facts.push(("Draft", model(draft)));
    }
    if let Some(speculation) = &report.speculation {
        facts.push(("Self-test of speculation", speculation.lossless.meaning().into()));
    }
    if !report.loading.is_empty() {
        let phases = report.loading.iter().map(|phase| format!("{} {} ms", phase.name, rounded(phase.ms)));
        facts.push(("Loading of the models", phases.collect::<Vec<_>>().join(", ")));
    }
    let intervals = format!(
        "{} %, {} resamples, seed {}",
        (1000.0 * report.protocol.confidence).round() / 10.0,
        report.protocol.resamples,
        report.protocol.seed
    );
    facts.push(("Intervals", intervals));
    facts.push(("Run", report.run_id.clone()));
    let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Table { heading: vec!["what".into(), "value".into()], rows, names: 2 }
}

fn model(model: &Model) -> String {
    let short = |hash: &Option<String>| hash.as_ref().map_or("unknown".into(), |hash| hash.chars().take(16).collect());
    let bytes = model.weights_bytes.map_or(String::new(), |n| format!(", {}", bytes(n)));
    let (weights, tokenizer): (String, String) = (short(&model.hash), short(&model.tokenizer_hash));
    format!("{}{bytes}; weights {weights}, tokenizer {tokenizer} (SHA-256, begin)", model.id)
}
