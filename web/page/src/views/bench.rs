//! Bench: what to see to first, a scenario, its progress, and the report.

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::scenario_catalog::{OFFERS, WARM_UP};
use understory_protocol::{Benched, MAX_LINK_CHARS};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::components::document::document as whole;
use crate::components::problem::problem;
use crate::connection::Place;
use crate::platform::route::Route;
use crate::platform::{download, facts};
use crate::state::Page;
use crate::state::bench::BenchProgress;

#[component]
pub fn BenchView() -> impl IntoView {
    let page = expect_context::<Page>();
    let bench = page.bench;
    let running = move || bench.under_way.with(Option::is_some);
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Bench"</h1>
            <p class="hint">
                "A scenario of the latency lab: methods take turns, every second round runs backwards, and each figure is a "
                "median with its interval. What makes the report less comparable is said in it."
            </p>
            <div class="panel composer">
                {checks(page)}
                <div class="fields">
                    <div class="field method">
                        <label for="scenario">"Scenario"</label>
                        <select id="scenario" bind:value=bench.scenario disabled=running>
                            {OFFERS.each_ref().map(|offer| view! { <option value=offer.name>{offer.name}</option> })}
                        </select>
                    </div>
                    <div class="field">
                        <label for="runs">"Runs of each case"</label>
                        <input id="runs" type="number" min="1" max="100" bind:value=bench.runs disabled=running />
                    </div>
                    <div class="field method">
                        <label for="label">"Name of this device"</label>
                        <input
                            id="label"
                            type="text"
                            maxlength="80"
                            placeholder="after its adapter"
                            bind:value=bench.label
                            disabled=running
                        />
                    </div>
                </div>
                <p class="hint">{move || what(page)}</p>
                <div class="actions">
                    <button
                        class="primary"
                        disabled=move || running() || !page.session.is_ready()
                        on:click=move |_| bench.start()
                    >
                        "Run"
                    </button>
                    <button class="quiet" disabled=move || !running() on:click=move |_| page.session.stop()>"Stop"</button>
                </div>
                {move || bench.under_way.get().map(progress)}
                {problem(bench.problem)}
            </div>
            {move || bench.done.with(|done| done.as_ref().map(|done| results(page, done)))}
        </section>
    }
}

/// What the scenario measures, and what it takes.
fn what(page: Page) -> String {
    let bench = page.bench;
    let offer = bench.offer();
    let left_out = match offer.starts {
        true => {
            " Its cold starts need fresh processes (understory bench); here only its requests to the loaded model run."
        }
        false => "",
    };
    let Ok(runs) = bench.runs() else { return format!("{}.{left_out}", offer.what) };
    let each = runs + WARM_UP;
    let plain_ms = page.session.costs.with(|known| known.as_ref().map(|known| known.costs.plain_ms));
    let long = plain_ms.map_or_else(String::new, |ms| {
        format!(" At this device's pace of plain decoding that is {}.", span(ms * (offer.tokens * each) as f64))
    });
    let (all, tokens) = (offer.cases * each, offer.tokens * each);
    format!("{}. With a draft model: {all} runs, {tokens} tokens.{long}{left_out}", offer.what)
}

/// `40 s`, `12 min`, `1 h 20 min`
fn span(ms: f64) -> String {
    let seconds = (ms / 1e3).round().max(1.0) as u64;
    match seconds {
        0..120 => format!("{seconds}\u{a0}s"),
        120..5400 => format!("{}\u{a0}min", seconds.div_ceil(60)),
        _ => format!("{}\u{a0}h {}\u{a0}min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn progress(at: BenchProgress) -> impl IntoView {
    let (words, made, runs) = match at {
        BenchProgress::Preparing => ("Getting ready: models, kernels, the clock".into(), None, 1),
        BenchProgress::Run(step) => {
            let left = step.left_ms.map_or_else(String::new, |ms| format!("; about {} left", span(ms)));
            let warm_up = if step.warm_up { "warm-up, " } else { "" };
            let words = format!("Run {} of {}: {warm_up}{}{left}", step.made + 1, step.runs, step.case);
            (words, Some(step.made), step.runs)
        }
    };
    view! {
        <div class="progress">
            <label>
                {words} <progress max=runs.to_string() value=made.map(|made| made.to_string())></progress>
            </label>
        </div>
    }
}

/// What to see to before measuring.
fn checks(page: Page) -> AnyView {
    let checks = move || {
        let mut checks = vec![loaded(page), software(page)];
        if page.session.engines.place.get() == Place::Browser {
            checks.push(match page.bench.hidden.get() {
                false => (Some(true), "The page is visible. Keep it in front: browsers slow hidden tabs down.".into()),
                true => (Some(false), "The page is hidden, and browsers slow hidden tabs down.".into()),
            });
            checks.push(match facts::isolated() {
                Some(true) => (Some(true), "The page is cross-origin isolated: the clock is fine.".into()),
                _ => (Some(false), "The page is not cross-origin isolated: the clock steps by 0.1 ms or more.".into()),
            });
            checks.push(power(page));
        }
        checks.push(match cfg!(debug_assertions) {
            false => (Some(true), "A release build.".into()),
            true => (Some(false), "A debug build: figures are many times too large.".into()),
        });
        checks
    };
    let entry = |(good, words): (Option<bool>, String)| {
        let (class, mark) = match good {
            Some(true) => ("good", "ok"),
            Some(false) => ("bad", "see to it"),
            None => ("open", "unknown"),
        };
        view! { <li class=class><span>{mark}</span> {words}</li> }
    };
    view! {
        <ul class="checks" aria-label="Before you measure">
            {move || checks().into_iter().map(entry).collect_view()}
        </ul>
    }
    .into_any()
}

type Check = (Option<bool>, String);

fn loaded(page: Page) -> Check {
    page.session.loaded.with(|loaded| match loaded {
        None => (Some(false), "No model is loaded yet.".into()),
        Some(loaded) => match &loaded.draft {
            Some(draft) => (Some(true), format!("{} is loaded, with {draft} as its draft.", loaded.target)),
            None => (
                Some(false),
                format!("{} is loaded without a draft: methods that need one are left out.", loaded.target),
            ),
        },
    })
}

fn software(page: Page) -> Check {
    page.session.loaded.with(|loaded| match loaded {
        None => (None, "Which adapter is used is known once a model is loaded.".into()),
        Some(loaded) if loaded.device.software => {
            (Some(false), "A CPU imitates the GPU here: figures say little of this device's GPU.".into())
        }
        Some(loaded) if loaded.device.name.is_empty() => (Some(true), "The adapter is a GPU.".into()),
        Some(loaded) => (Some(true), format!("The adapter is a GPU: {}.", loaded.device.name)),
    })
}

fn power(page: Page) -> Check {
    page.bench.power.with(|power| match power.as_ref().and_then(|power| power.on_battery) {
        Some(true) => {
            (Some(false), "On battery: many devices are slower then. Plug it in and load the page again.".into())
        }
        Some(false) => (Some(true), "On mains, as far as the browser tells.".into()),
        None => (None, "This browser does not tell whether it runs on battery.".into()),
    })
}

fn results(page: Page, done: &Benched) -> AnyView {
    let bench = page.bench;
    let run_id = done.run_id.clone();
    let save = move |name: &'static str| {
        let run_id = run_id.clone();
        let save = move |_| {
            let ending = name.rsplit('.').next().unwrap_or_default();
            let text = untrack(|| bench.file(name)).unwrap_or_default();
            let kind = if ending == "json" { "application/json" } else { "text/plain" };
            if let Err(message) = download::text(&format!("{run_id}.{ending}"), kind, &text) {
                bench.problem.set(Some(message.into()));
            }
        };
        view! { <button class="quiet" on:click=save>"Save " {name}</button> }
    };
    let link = done.link.as_ref().map(|packed| format!("{}{}?report={packed}", address(), Route::Compare.hash()));
    view! {
        <h2>"Report"</h2>
        {done.partial.then(|| view! { <p class="note">"It holds a part of what was planned; its flags say why."</p> })}
        <div class="actions">
            {["report.json", "report.html", "samples.csv", "report.md"].map(save)}
            <button class="quiet" on:click=move |_| compare(page)>"Compare"</button>
        </div>
        {share(link)}
        {move || bench.code.get().map(|_| sending(page))}
        {whole("The report", untrack(|| bench.file("report.html")).unwrap_or_default())}
    }
    .into_any()
}

fn compare(page: Page) {
    page.reports.add_own();
    let _ = location().set_hash(Route::Compare.hash());
}

/// A link that carries the report.
fn share(link: Option<String>) -> AnyView {
    let Some(link) = link else {
        let words =
            format!("The report has more than {MAX_LINK_CHARS} characters in a link: send the file report.json.");
        return view! { <p class="hint">{words}</p> }.into_any();
    };
    let said = RwSignal::new(None::<&'static str>);
    let length = format!("The whole report is in the link ({} characters); no server keeps it.", link.len());
    let value = link.clone();
    let copy = move |_| {
        let link = link.clone();
        spawn_local(async move {
            said.set(Some(if to_clipboard(&link).await.is_some() { "Copied." } else { "Copy it from the field." }));
        });
    };
    view! {
        <div class="share">
            <button class="quiet" on:click=copy>"Copy link"</button>
            <input type="text" readonly aria-label="Link with the report" prop:value=value />
            <p class="hint">{length} " " <span role="status">{said}</span></p>
        </div>
    }
    .into_any()
}

/// Where it stands on the computer that serves this page.
fn sending(page: Page) -> AnyView {
    let bench = page.bench;
    let again = move |_| spawn_local(bench.send());
    let host = location().host().unwrap_or_default();
    let said = move || match bench.sent.get() {
        None => view! { <p class="hint" role="status">"Sending the report to " {host.clone()} "…"</p> }.into_any(),
        Some(Ok(run_id)) => {
            view! { <p class="hint" role="status">"The report arrived at " {host.clone()} " as " {run_id} "."</p> }
                .into_any()
        }
        Some(Err(message)) => view! {
            <p class="problem" role="alert">
                {message} " " <button class="quiet" on:click=again>"Send again"</button>
            </p>
        }
        .into_any(),
    };
    said.into_any()
}

/// The page's own, without what follows `#`.
fn address() -> String {
    let href = location().href().unwrap_or_default();
    href.split('#').next().unwrap_or_default().into()
}

/// `None`: the browser does not let it.
async fn to_clipboard(text: &str) -> Option<()> {
    let clipboard = Reflect::get(&window().navigator(), &"clipboard".into()).ok()?;
    let write: Function = Reflect::get(&clipboard, &"writeText".into()).ok()?.dyn_into().ok()?;
    let promise: Promise = write.call1(&clipboard, &text.into()).ok()?.dyn_into().ok()?;
    JsFuture::from(promise).await.ok().map(drop)
}
