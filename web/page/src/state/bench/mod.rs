//! A scenario measured through the page, and the report of it. Runs, figures and the report's pages are made by the
//! engine; here is what a person chooses, sees and does with them.

mod pairing;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::scenario_catalog::{OFFERS, Offer, RUNS};
use understory_protocol::{BenchRequest, BenchStep, Benched, Power, Request};

use super::announcer::Announcer;
use super::session::{Ended, Session};
use crate::connection::Place;
use crate::platform::{facts, storage};
use crate::wording::notice::Notice;

#[derive(Clone, Debug, PartialEq)]
pub enum BenchProgress {
    /// The engine looks at the models, and compiles what no run is to wait for.
    Preparing,
    Run(BenchStep),
}

#[derive(Clone, Copy)]
pub struct Bench {
    /// a name of [`OFFERS`]
    pub scenario: RwSignal<String>,
    pub runs: RwSignal<String>,
    pub label: RwSignal<String>,
    pub under_way: RwSignal<Option<BenchProgress>>,
    pub done: RwSignal<Option<Benched>>,
    pub problem: RwSignal<Option<Notice>>,
    /// The tab is hidden.
    pub hidden: RwSignal<bool>,
    pub power: RwSignal<Option<Power>>,
    /// of the computer that serves the page, for sending reports there
    pub code: RwSignal<Option<String>>,
    /// what came of sending the report
    pub sent: RwSignal<Option<Result<String, String>>>,
    session: Session,
    announcer: Announcer,
}

impl Bench {
    pub fn new(session: Session, announcer: Announcer) -> Self {
        let bench = Self {
            scenario: RwSignal::new(OFFERS[0].name.into()),
            runs: RwSignal::new(RUNS.to_string()),
            label: RwSignal::new(storage::label().unwrap_or_default()),
            under_way: RwSignal::new(None),
            done: RwSignal::new(None),
            problem: RwSignal::new(None),
            hidden: RwSignal::new(document().hidden()),
            power: RwSignal::new(None),
            code: RwSignal::new(None),
            sent: RwSignal::new(None),
            session,
            announcer,
        };
        let _ = window_event_listener_untyped("visibilitychange", move |_| {
            let hidden = document().hidden();
            bench.hidden.set(hidden);
            if bench.is_running() {
                session.tell(Request::VisibilityChanged { hidden });
            }
        });
        spawn_local(async move { bench.power.set(facts::power().await) });
        bench.code.set(pairing::take_code());
        let _ = window_event_listener_untyped("hashchange", move |_| {
            let code = pairing::take_code();
            if code != bench.code.get_untracked() {
                bench.code.set(code);
                spawn_local(bench.send());
            }
        });
        bench
    }

    pub fn is_running(self) -> bool {
        self.under_way.with_untracked(Option::is_some)
    }

    pub fn offer(self) -> &'static Offer {
        let offer = self.scenario.with(|name| OFFERS.iter().find(|offer| offer.name == name));
        offer.unwrap_or(&OFFERS[0])
    }

    /// Measured runs of each case.
    ///
    /// # Errors
    /// What was typed instead.
    pub fn runs(self) -> Result<usize, String> {
        let typed = self.runs.get();
        let runs = typed.trim().parse().ok().filter(|runs| (1..=100).contains(runs));
        runs.ok_or_else(|| format!("runs of each case: {typed} was given, expected a whole number from 1 to 100"))
    }

    /// The file of the report with this ending.
    pub fn file(self, name: &str) -> Option<String> {
        self.done.with(|done| Some(done.as_ref()?.files.iter().find(|file| file.name == name)?.text.clone()))
    }

    /// Measures what is chosen; what is wrong with it becomes the problem.
    pub fn start(self) {
        match untrack(|| self.runs()) {
            Ok(runs) => {
                self.problem.set(None);
                self.under_way.set(Some(BenchProgress::Preparing));
                spawn_local(self.run(runs));
            }
            Err(message) => self.problem.set(Some(message.into())),
        }
    }

    async fn run(self, runs: usize) {
        let label = self.label.with_untracked(|label| label.trim().to_owned());
        storage::keep_label(&label);
        let in_browser = self.session.engines.place.get_untracked() == Place::Browser;
        let request = BenchRequest {
            scenario: self.scenario.get_untracked(),
            runs: Some(runs),
            label: (!label.is_empty()).then_some(label),
            nonce: js_sys::Math::random().to_string(),
            page: if in_browser { Some(facts::all().await) } else { None },
        };
        self.announcer.say("Measuring.");
        let done = self.session.bench(request, |step| self.under_way.set(Some(BenchProgress::Run(step)))).await;
        self.under_way.set(None);
        match done {
            Ok(done) => {
                self.sent.set(None);
                if let Some(json) = done.files.iter().find(|file| file.name == "report.json") {
                    storage::keep_report(&done.run_id, &json.text);
                }
                self.done.set(Some(done));
                self.announcer.say("Finished: the report is below.");
                if self.code.with_untracked(Option::is_some) {
                    self.send().await;
                }
            }
            Err(Ended::Gone) => {
                self.problem.set(Some("The engine ended while it measured; nothing of it is left.".into()));
            }
            Err(ended) => self.problem.set(self.session.explain(ended)),
        }
    }

    /// Sends the report to the computer that serves the page; what comes of it is said.
    pub async fn send(self) {
        let (Some(code), Some(json)) = (self.code.get_untracked(), untrack(|| self.file("report.json"))) else {
            return;
        };
        self.sent.set(None);
        self.sent.set(Some(pairing::post(&code, &json).await));
    }
}
