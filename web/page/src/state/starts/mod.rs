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

use super::announcer::Announcer;
use super::choice::ModelChoice;
use super::session::{Ended, Session, Stage};
use crate::connection::Place;
use crate::platform::offline::{self, Offline};
use crate::platform::{clock, storage, visibility};
use crate::wording::format;
use crate::wording::notice::Notice;
use record::{Start, State};

const ITEM: &str = "understory.starts";
pub const PROMPT: &str = "Once upon a time";
/// Asked before a warm start: the KV cache then holds none of the prompt, and every pipeline was used.
const OTHER_PROMPT: &str = "The old woman said";
const NEW_TOKENS: usize = 8;

/// What outlives a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptStarts {
    /// still to be measured, in this order
    pub plan: Vec<State>,
    under_way: Option<Reload>,
    pub results: Vec<Start>,
}

/// The first of the plan, for which the page was loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reload {
    Asked,
    /// The page has loaded since: when it loads once more, somebody else did that.
    Begun,
}

#[derive(Clone, Copy)]
pub struct Starts {
    pub kept: RwSignal<KeptStarts>,
    /// why a measurement has no result
    pub problem: RwSignal<Option<Notice>>,
    session: Session,
    offline: Offline,
    announcer: Announcer,
}

impl Starts {
    pub fn new(session: Session, offline: Offline, announcer: Announcer) -> Self {
        let kept = storage::session_item(ITEM).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { kept: RwSignal::new(kept), problem: RwSignal::new(None), session, offline, announcer }
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

    fn update(self, change: impl FnOnce(&mut KeptStarts)) {
        self.kept.update(change);
        let text = self.kept.with_untracked(|kept| serde_json::to_string(kept).unwrap_or_default());
        storage::keep_session_item(ITEM, &text);
    }

    fn fail(self, notice: Notice) {
        self.update(|kept| {
            kept.plan.clear();
            kept.under_way = None;
        });
        self.problem.set(Some(notice));
    }

    /// Measures `states` in their order, all of them `repetitions` times.
    pub fn measure(self, states: &[State], repetitions: usize) {
        self.problem.set(None);
        self.update(|kept| kept.plan = states.repeat(repetitions));
        spawn_local(async move {
            if self.bundled_here().await {
                self.run_plan().await;
            } else {
                self.fail("The engine did not start, so there was nothing to measure.".into());
            }
        });
    }

    /// Has this browser's engine load the bundled pair, which is what starts are measured of.
    async fn bundled_here(self) -> bool {
        let session = self.session;
        let is_here = session.engines.place.get_untracked() == Place::Browser;
        if is_here && session.choice.with_untracked(|choice| *choice == ModelChoice::default()) {
            return true;
        }
        session.choice.set(ModelChoice::default());
        session.choose_engine(Place::Browser);
        self.settled().await
    }

    /// After the page has loaded: measures what it was loaded for, and goes on with the plan.
    pub async fn go_on(self) {
        let ready = self.settled().await;
        let under_way = self.kept.with_untracked(|kept| kept.under_way.zip(kept.plan.first().copied()));
        if let Some((under_way, state)) = under_way {
            if under_way == Reload::Begun {
                self.fail("The page was loaded again in the middle of a measured start: measure again.".into());
            } else if !ready {
                self.fail("The engine did not start, so there was nothing to measure.".into());
            } else {
                self.update(|kept| kept.under_way = Some(Reload::Begun));
                match self.one(state, PROMPT).await {
                    Ok(()) => self.run_plan().await,
                    Err(notice) => self.fail(notice),
                }
            }
        } else if self.kept.with_untracked(|kept| !kept.plan.is_empty()) {
            self.fail("The page was loaded again before all starts were measured: measure again.".into());
        }
        self.offline.register().await;
    }

    /// Measures the plan up to where the page loads again.
    async fn run_plan(self) {
        while let Some(state) = self.kept.with_untracked(|kept| kept.plan.first().copied()) {
            if let Err(notice) = self.next(state).await {
                self.fail(notice);
            }
            if self.kept.with_untracked(|kept| kept.under_way.is_some()) {
                return;
            }
        }
    }

    async fn next(self, state: State) -> Result<(), Notice> {
        match state {
            State::FirstVisit => {
                clear::first_visit().await?;
                self.reload()
            }
            State::Cold => {
                // A visit after the first has the page's files from the service worker.
                self.offline.installed().await;
                self.reload()
            }
            State::WarmCache => {
                self.session.start();
                match self.settled().await {
                    true => self.one(state, PROMPT).await,
                    false => Err("The engine did not start, so there was nothing to measure.".into()),
                }
            }
            State::Warm => {
                let other = self.session.generate(request(OTHER_PROMPT), |_| {}).await;
                other.map_err(|ended| self.why(ended))?;
                self.one(state, PROMPT).await
            }
        }
    }

    fn reload(self) -> Result<(), Notice> {
        self.update(|kept| kept.under_way = Some(Reload::Asked));
        let failed = |error| Notice::from(format!("the browser did not load the page again: {error:?}"));
        window().location().reload().map_err(failed)
    }

    /// Generates, and adds the start that ends with it to the results.
    async fn one(self, state: State, prompt: &str) -> Result<(), Notice> {
        let asked_ms = clock::now_ms();
        let (mut first_ms, mut second_ms, mut tokens, mut reused_tokens) = (None, None, 0, 0);
        let generation = self
            .session
            .generate(request(prompt), |event| match event {
                Event::Started { reused_tokens: reused, .. } => reused_tokens = reused,
                Event::Emission { token_ids, text, .. } => {
                    let now = clock::now_ms();
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
            .map_err(|ended| self.why(ended))?;
        let second_ms = second_ms.ok_or("the text has fewer than two tokens, so there was nothing to measure")?;
        let moments = self.session.moments.get_value();
        let from_ms = match state {
            State::FirstVisit | State::Cold => 0.0,
            State::WarmCache => moments.begun_ms,
            State::Warm => asked_ms,
        };
        let total_ms = second_ms - from_ms;
        let loaded = self.session.loaded.get_untracked().ok_or("no model is loaded")?;
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
                && self.session.costs.with_untracked(|known| known.as_ref().is_some_and(|known| !known.kept)),
            from_service_worker: offline::serves_this_page(),
            navigation: navigation().unwrap_or_default(),
            hidden: visibility::hidden_since(from_ms),
            restored: visibility::restored_since(from_ms),
        };
        self.announce(&start, &generation);
        self.update(|kept| {
            kept.plan.remove(0);
            kept.under_way = None;
            kept.results.push(start);
        });
        Ok(())
    }

    fn announce(self, start: &Start, generation: &Generation) {
        let (name, total) = (start.state.name(), format::duration(Some(start.total_ms)));
        let tokens = format::count(generation.token_ids.len(), "token");
        self.announcer.say(format!("Measured {name}: {total} to the second of {tokens}."));
    }

    /// Waits until the engine is ready, or has failed; whether it is ready.
    async fn settled(self) -> bool {
        let (sender, settled) = oneshot::channel();
        let sender = RefCell::new(Some(sender));
        let watching = RenderEffect::new(move |_| {
            let ready = self.session.stage.with(|stage| match stage {
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

    fn why(self, ended: Ended) -> Notice {
        match ended {
            Ended::Gone => self.session.stage.with_untracked(|stage| match stage {
                // The stage tells what to do about it.
                Stage::Failed(problem) => problem.notice.message.as_str().into(),
                _ => "the engine ended in the middle of the measurement".into(),
            }),
            ended => self.session.explain(ended).unwrap_or_else(|| "".into()),
        }
    }
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

/// `reload`, `navigate`, `back_forward` or `prerender`.
fn navigation() -> Option<String> {
    let performance: JsValue = window().performance()?.into();
    let entries: js_sys::Function = Reflect::get(&performance, &"getEntriesByType".into()).ok()?.dyn_into().ok()?;
    let entries: Array = entries.call1(&performance, &"navigation".into()).ok()?.dyn_into().ok()?;
    Reflect::get(&entries.get(0), &"type".into()).ok()?.as_string()
}
