//! Measured starts: from a state that is made on purpose to the second token of a short text. A state may need the page
//! to load again, so the plan and the results lie in the session's storage.

mod clear;
pub mod record;

use std::cell::RefCell;

use futures_channel::oneshot;
use js_sys::{Array, Date, Reflect};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::{Deserialize, Serialize};
use understory_protocol::{Event, GenerateRequest, Generation, Method, Prompt, Sampling};
use wasm_bindgen::prelude::*;

use crate::app::Page;
use crate::choice::Choice;
use crate::engines::Place;
use crate::session::{Ended, Stage};
use crate::{format, offline, storage, visibility};
use record::{Start, State};

const ITEM: &str = "understory.starts";
pub const PROMPT: &str = "Once upon a time";
/// Asked before a warm start: the KV cache then holds none of the prompt, and every pipeline was used.
const OTHER_PROMPT: &str = "The old woman said";
const NEW_TOKENS: usize = 8;

/// What outlives a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// still to be measured, in this order
    pub plan: Vec<State>,
    under_way: Option<UnderWay>,
    pub results: Vec<Start>,
}

/// The first of the plan, for which the page was loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum UnderWay {
    Asked,
    /// The page has loaded since: when it loads once more, somebody else did that.
    LoadContext,
}

#[derive(Clone, Copy)]
pub struct Starts {
    pub kept: RwSignal<Kept>,
    /// why a measurement has no result
    pub problem: RwSignal<Option<String>>,
}

impl Starts {
    pub fn new() -> Self {
        let kept = storage::session_item(ITEM).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { kept: RwSignal::new(kept), problem: RwSignal::new(None) }
    }

    pub fn is_running(self) -> bool {
        self.kept.with(|kept| !kept.plan.is_empty())
    }

    /// Ends after the measurement under way.
    pub fn stop(self) {
        self.update(|kept| kept.plan.truncate(1));
    }

    pub fn forget_results(self) {
        self.update(|kept| kept.results.clear());
    }

    fn update(self, change: impl FnOnce(&mut Kept)) {
        self.kept.update(change);
        let text = self.kept.with_untracked(|kept| serde_json::to_string(kept).unwrap_or_default());
        storage::keep_session_item(ITEM, &text);
    }

    fn fail(self, message: String) {
        self.update(|kept| {
            kept.plan.clear();
            kept.under_way = None;
        });
        self.problem.set(Some(message));
    }
}

/// Measures `states` in their order, all of them `repetitions` times.
pub fn measure(page: Page, states: &[State], repetitions: usize) {
    page.starts.problem.set(None);
    page.starts.update(|kept| kept.plan = states.repeat(repetitions));
    spawn_local(async move {
        if bundled_here(page).await {
            run_plan(page).await;
        } else {
            page.starts.fail("The engine did not start, so there was nothing to measure.".into());
        }
    });
}

/// Has this browser's engine load the bundled pair, which is what starts are measured of.
async fn bundled_here(page: Page) -> bool {
    let session = page.session;
    let is_here = session.engines.place.get_untracked() == Place::Browser;
    if is_here && session.choice.with_untracked(|choice| *choice == Choice::default()) {
        return true;
    }
    session.choice.set(Choice::default());
    session.engines.choose(Place::Browser, session);
    settled(page).await
}

/// After the page has loaded: measures what it was loaded for, and goes on with the plan.
pub async fn go_on(page: Page) {
    let ready = settled(page).await;
    let under_way = page.starts.kept.with_untracked(|kept| kept.under_way.zip(kept.plan.first().copied()));
    if let Some((under_way, state)) = under_way {
        if under_way == UnderWay::LoadContext {
            page.starts.fail("The page was loaded again in the middle of a measured start: measure again.".into());
        } else if !ready {
            page.starts.fail("The engine did not start, so there was nothing to measure.".into());
        } else {
            page.starts.update(|kept| kept.under_way = Some(UnderWay::LoadContext));
            match one(page, state, PROMPT).await {
                Ok(()) => run_plan(page).await,
                Err(message) => page.starts.fail(message),
            }
        }
    } else if page.starts.kept.with_untracked(|kept| !kept.plan.is_empty()) {
        page.starts.fail("The page was loaded again before all starts were measured: measure again.".into());
    }
    page.offline.register().await;
}

/// Measures the plan up to where the page loads again.
async fn run_plan(page: Page) {
    while let Some(state) = page.starts.kept.with_untracked(|kept| kept.plan.first().copied()) {
        if let Err(message) = next(page, state).await {
            page.starts.fail(message);
        }
        if page.starts.kept.with_untracked(|kept| kept.under_way.is_some()) {
            return;
        }
    }
}

async fn next(page: Page, state: State) -> Result<(), String> {
    match state {
        State::FirstVisit => {
            clear::first_visit().await?;
            reload(page)
        }
        State::Cold => {
            // A visit after the first has the page's files from the service worker.
            page.offline.installed().await;
            reload(page)
        }
        State::WarmCache => {
            page.session.start();
            match settled(page).await {
                true => one(page, state, PROMPT).await,
                false => Err("The engine did not start, so there was nothing to measure.".into()),
            }
        }
        State::Warm => {
            let other = page.session.generate(request(OTHER_PROMPT), |_| {}).await;
            other.map_err(|ended| why(page, ended))?;
            one(page, state, PROMPT).await
        }
    }
}

fn reload(page: Page) -> Result<(), String> {
    page.starts.update(|kept| kept.under_way = Some(UnderWay::Asked));
    window().location().reload().map_err(|error| format!("the browser did not load the page again: {error:?}"))
}

/// Generates, and adds the start that ends with it to the results.
async fn one(page: Page, state: State, prompt: &str) -> Result<(), String> {
    let asked_ms = Page::clock();
    let (mut first_ms, mut second_ms, mut tokens, mut reused_tokens) = (None, None, 0, 0);
    let generation = page
        .session
        .generate(request(prompt), |event| match event {
            Event::Started { reused_tokens: reused, .. } => reused_tokens = reused,
            Event::Emission { token_ids, text, .. } => {
                let now = Page::clock();
                tokens += token_ids.len();
                if !text.is_empty() {
                    first_ms.get_or_insert(now);
                }
                if tokens >= 2 {
                    second_ms.get_or_insert(now);
                }
            }
            Event::Round { .. } => {}
        })
        .await
        .map_err(|ended| why(page, ended))?;
    let second_ms = second_ms.ok_or("the text has fewer than two tokens, so there was nothing to measure")?;
    let moments = page.session.moments.get_value();
    let from_ms = match state {
        State::FirstVisit | State::Cold => 0.0,
        State::WarmCache => moments.begun_ms,
        State::Warm => asked_ms,
    };
    let total_ms = second_ms - from_ms;
    let loaded = page.session.loaded.get_untracked().ok_or("no model is loaded")?;
    let start = Start {
        state,
        measured_at: String::from(Date::new_0().to_iso_string()),
        counted_from: state.counted_from().into(),
        ttft_ms: first_ms.map(|first_ms| first_ms - from_ms),
        total_ms,
        phases_ms: record::phases(state, &moments, &generation, total_ms),
        models: [loaded.target].into_iter().chain(loaded.draft).collect(),
        software: loaded.device.software,
        device: loaded.device.name,
        reused_tokens,
        calibrated: state != State::Warm
            && page.session.measured.with_untracked(|measured| measured.as_ref().is_some_and(|m| !m.kept)),
        from_service_worker: offline::serves_this_page(),
        navigation: navigation().unwrap_or_default(),
        hidden: visibility::hidden_since(from_ms),
        restored: visibility::restored_since(from_ms),
    };
    announce(page, &start, &generation);
    page.starts.update(|kept| {
        kept.plan.remove(0);
        kept.under_way = None;
        kept.results.push(start);
    });
    Ok(())
}

fn announce(page: Page, start: &Start, generation: &Generation) {
    let (name, total) = (start.state.name(), format::duration(Some(start.total_ms)));
    let tokens = format::count(generation.token_ids.len(), "token");
    page.announcement.set(format!("Measured {name}: {total} to the second of {tokens}."));
}

fn request(prompt: &str) -> GenerateRequest {
    GenerateRequest {
        prompt: Prompt::Text(prompt.into()),
        max_new_tokens: NEW_TOKENS,
        ignore_eos: true,
        stop: vec![],
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        method: Method::Ar,
        synthetic_acceptance: None,
        trace: false,
    }
}

/// Waits until the engine is ready, or has failed; whether it is ready.
async fn settled(page: Page) -> bool {
    let (sender, settled) = oneshot::channel();
    let sender = RefCell::new(Some(sender));
    let watching = RenderEffect::new(move |_| {
        let ready = page.session.stage.with(|stage| match stage {
            Stage::Ready => Some(true),
            Stage::Failed(_) => Some(false),
            _ => None,
        });
        if let Some((ready, sender)) = ready.and_then(|ready| Some((ready, sender.take()?))) {
            let _ = sender.send(ready);
        }
    });
    let ready = settled.await.unwrap_or(false);
    drop(watching);
    ready
}

fn why(page: Page, ended: Ended) -> String {
    match ended {
        Ended::Failed(message) => message,
        Ended::Gone => page.session.stage.with_untracked(|stage| match stage {
            Stage::Failed(failure) => failure.message.clone(),
            _ => "the engine ended in the middle of the measurement".into(),
        }),
    }
}

/// `reload`, `navigate`, `back_forward` or `prerender`.
fn navigation() -> Option<String> {
    let performance: JsValue = window().performance()?.into();
    let entries: js_sys::Function = Reflect::get(&performance, &"getEntriesByType".into()).ok()?.dyn_into().ok()?;
    let entries: Array = entries.call1(&performance, &"navigation".into()).ok()?.dyn_into().ok()?;
    Reflect::get(&entries.get(0), &"type".into()).ok()?.as_string()
}
