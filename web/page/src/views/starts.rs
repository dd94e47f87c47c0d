//! Starts: how long it takes from a known state to the second token, and where the time goes.

use leptos::prelude::*;
use serde::Serialize;
use understory_protocol::Loaded;

use crate::components::ask::Ask;
use crate::components::charts::starts::starts as chart;
use crate::components::figures::SoftwareNote;
use crate::components::problem::problem;
use crate::components::table::{Table, plain};
use crate::platform::{download, webgpu};
use crate::state::Page;
use crate::state::starts::PROMPT;
use crate::state::starts::record::{Start, State, median};
use crate::wording::definitions as d;
use crate::wording::format;
use crate::wording::order::distinct;

#[component]
pub fn StartsView() -> impl IntoView {
    let page = expect_context::<Page>();
    let repetitions = RwSignal::new("1".to_owned());
    let busy = move || !page.session.is_ready() || page.starts.is_running();
    let measure = move |states: &[State]| {
        page.starts.measure(states, repetitions.get_untracked().parse().unwrap_or(1));
    };
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Starts"</h1>
            <p class="hint">
                "From a state that is made on purpose to the second token of a short text by the bundled pair, greedy and "
                "plain. The page loads again for it, more than once; the results stay. " <Ask about=&d::START_TOTAL />
            </p>
            <div class="panel composer">
                <ul class="states">{State::ALL.map(|state| view! { <Entry state busy measure /> })}</ul>
                <div class="actions">
                    <button class="primary" disabled=busy on:click=move |_| measure(&State::ALL)>"Measure all"</button>
                    <label class="switch">
                        "Repetitions"
                        <select bind:value=repetitions>
                            {["1", "3", "5", "10"].map(|n| view! { <option value=n>{n}</option> })}
                        </select>
                    </label>
                    <button
                        class="quiet"
                        disabled=move || page.starts.kept.with(|kept| kept.plan.len() < 2)
                        on:click=move |_| page.starts.stop()
                    >
                        "Stop"
                    </button>
                    <span class="live">{move || page.starts.kept.with(|kept| live(&kept.plan))}</span>
                </div>
                {problem(page.starts.problem)}
            </div>
            {move || page.starts.kept.with(|kept| results(page, &kept.results).into_any())}
            <Limits />
        </section>
    }
}

#[component]
fn Entry(
    state: State,
    busy: impl Fn() -> bool + Copy + Send + Sync + 'static,
    measure: impl Fn(&[State]) + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let label = format!("Measure {}", state.name());
    view! {
        <li>
            <button class="quiet" disabled=busy on:click=move |_| measure(&[state])>{label}</button>
            " " <Ask about=state.definition() />
        </li>
    }
}

/// What a page cannot clear, and what the figures mean therefore.
#[component]
fn Limits() -> impl IntoView {
    view! {
        <h2>"What is cleared, and what cannot be"</h2>
        <p>
            "Before first_visit the page deletes what it keeps itself: the bundled models' files, the kept costs of passes, "
            "the service worker with the page's own files. Before the other states it deletes nothing. Nothing of ours "
            "keeps compiled pipelines, in any state."
        </p>
        <p>
            "No page can clear the browser's HTTP cache, its cache of compiled scripts and modules, the graphics process's "
            "cache of pipelines (or the driver's), or the operating system's cache of files. So a browser that never saw "
            "this page takes as long as first_visit says, or longer: files here may have come from the HTTP cache, modules "
            "and pipelines may have been compiled before. The same holds for cold. For figures without these caches, start "
            "the browser with a new profile and measure once."
        </p>
    }
}

fn live(plan: &[State]) -> String {
    match plan {
        [] => String::new(),
        [state] => format!("Measuring {}, the last", state.name()),
        [state, rest @ ..] => {
            let rest: Vec<&str> = rest.iter().map(|state| state.name()).collect();
            format!("Measuring {}; then {}", state.name(), rest.join(", "))
        }
    }
}

fn results(page: Page, results: &[Start]) -> impl IntoView + use<> {
    if results.is_empty() {
        return ().into_any();
    }
    let rows = State::ALL.into_iter().filter_map(|state| summary(results, state));
    let columns = ["state", "from", "TTFT", "to the second token", "least, most", "runs", "unexplained", "know that"];
    let hidden = results.iter().any(|start| start.hidden);
    let hidden_note =
        "A start was measured while the tab was hidden: browsers slow hidden tabs down. Measure it again.";
    view! {
        <h2>"Results " <Ask about=&d::START_TTFT /></h2>
        {plain(Table::new(columns, rows))}
        {hidden.then(|| view! { <p class="note">{hidden_note}</p> })}
        <SoftwareNote />
        {chart(results)}
        <div class="actions">
            <button class="quiet" on:click=move |_| save(page)>"Download as JSON"</button>
            <button
                class="quiet"
                disabled=move || page.starts.is_running()
                on:click=move |_| page.starts.forget_results()
            >
                "Delete the results"
            </button>
        </div>
    }
    .into_any()
}

/// The run with the median total, and how far the others are from it.
fn summary(results: &[Start], state: State) -> Option<[String; 8]> {
    let middle = median(results, state)?;
    let of = || results.iter().filter(|start| start.state == state);
    let totals = || of().map(|start| start.total_ms);
    let (least, most) = (totals().fold(f64::INFINITY, f64::min), totals().fold(0.0, f64::max));
    let flags = distinct(of().flat_map(Start::flags));
    Some([
        state.name().into(),
        state.counted_from().into(),
        format::duration(middle.ttft_ms),
        format::duration(Some(middle.total_ms)),
        format!("{}, {}", format::duration(Some(least)), format::duration(Some(most))),
        of().count().to_string(),
        format::percent(Some(middle.remainder())),
        flags.join(", "),
    ])
}

/// What is downloaded: every run, raw, and where.
#[derive(Serialize)]
struct StartsFile {
    understory: &'static str,
    unit: &'static str,
    user_agent: String,
    prompt: &'static str,
    loaded: Option<Loaded>,
    starts: Vec<Start>,
}

fn save(page: Page) {
    let report = StartsFile {
        understory: env!("CARGO_PKG_VERSION"),
        unit: "ms",
        user_agent: webgpu::agent(),
        prompt: PROMPT,
        loaded: page.session.loaded.get_untracked(),
        starts: page.starts.kept.with_untracked(|kept| kept.results.clone()),
    };
    let saved = serde_json::to_string_pretty(&report).map_err(|error| error.to_string());
    let saved = saved.and_then(|text| download::json("understory-starts.json", &text));
    if let Err(message) = saved {
        page.starts.problem.set(Some(message.into()));
    }
}
