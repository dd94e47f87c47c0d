//! A scenario measured through the page, and the report of it. Runs, figures and the report's pages are made by the
//! engine; here is what a person chooses, sees and does with them.

pub mod facts;
pub mod pairing;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::scenario_catalog::{OFFERS, Offer, RUNS};
use understory_protocol::{BenchRequest, BenchStep, Benched, Power, Request};

use crate::app::Page;
use crate::engines::Place;
use crate::session::{Ended, Session};
use crate::storage;

#[derive(Clone, Debug, PartialEq)]
pub enum UnderWay {
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
    pub under_way: RwSignal<Option<UnderWay>>,
    pub done: RwSignal<Option<Benched>>,
    pub problem: RwSignal<Option<String>>,
    /// The tab is hidden.
    pub hidden: RwSignal<bool>,
    pub power: RwSignal<Option<Power>>,
    /// of the computer that serves the page, for sending reports there
    pub code: RwSignal<Option<String>>,
    /// what came of sending the report
    pub sent: RwSignal<Option<Result<String, String>>>,
}

impl Bench {
    pub fn new(session: Session) -> Self {
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
                spawn_local(pairing::send(bench));
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
}

/// Measures what is chosen; what is wrong with it becomes the problem.
pub fn start(page: Page) {
    let bench = page.bench;
    match untrack(|| bench.runs()) {
        Ok(runs) => {
            bench.problem.set(None);
            bench.under_way.set(Some(UnderWay::Preparing));
            spawn_local(run(page, runs));
        }
        Err(message) => bench.problem.set(Some(message)),
    }
}

async fn run(page: Page, runs: usize) {
    let bench = page.bench;
    let label = bench.label.with_untracked(|label| label.trim().to_owned());
    storage::keep_label(&label);
    let in_browser = page.session.engines.place.get_untracked() == Place::Browser;
    let request = BenchRequest {
        scenario: bench.scenario.get_untracked(),
        runs: Some(runs),
        label: (!label.is_empty()).then_some(label),
        nonce: js_sys::Math::random().to_string(),
        page: if in_browser { Some(facts::all().await) } else { None },
    };
    page.announcement.set("Measuring.".into());
    let done = page.session.bench(request, |step| bench.under_way.set(Some(UnderWay::Run(step)))).await;
    bench.under_way.set(None);
    match done {
        Ok(done) => {
            bench.sent.set(None);
            if let Some(json) = done.files.iter().find(|file| file.name == "report.json") {
                storage::keep_report(&done.run_id, &json.text);
            }
            bench.done.set(Some(done));
            page.announcement.set("Finished: the report is below.".into());
            if bench.code.with_untracked(Option::is_some) {
                pairing::send(bench).await;
            }
        }
        Err(Ended::Failed(message)) => bench.problem.set(Some(message)),
        Err(Ended::Gone) => {
            bench.problem.set(Some("The engine ended while it measured; nothing of it is left.".into()))
        }
    }
}
