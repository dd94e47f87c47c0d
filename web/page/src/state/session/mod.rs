//! The engine's state as the page sees it: from the start of its worker to the last reply.

mod connection;
mod history;
mod loading;

use std::rc::Rc;

use leptos::prelude::*;
use understory_protocol::{
    BenchRequest, BenchStep, Benched, Event, Failure, FailureKind, GenerateRequest, Generation, Loaded, Reply, Request,
};

use super::choice::ModelChoice;
use super::engines::Engines;
use crate::connection::{Client, Place};
use crate::platform::folders::Folder;
use crate::platform::{clock, visibility, webgpu};
use crate::wording::notice::{Circumstances, Moment, Notice};

use history::RequestHistory;
pub use loading::{KnownCosts, LoadStep, StartMoments};

#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    Starting,
    Loading(LoadStep),
    Calibrating,
    Ready,
    Generating,
    Failed(EngineProblem),
}

/// Why nothing can be generated.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineProblem {
    pub title: &'static str,
    pub notice: Notice,
}

/// Why a request has no result.
pub enum Ended {
    /// what the engine says
    Failed(Failure),
    /// The worker is gone; the stage says why.
    Gone,
}

#[derive(Clone, Copy)]
pub struct Session {
    pub engines: Engines,
    pub stage: RwSignal<Stage>,
    pub loaded: RwSignal<Option<Loaded>>,
    /// what passes cost
    pub costs: RwSignal<Option<KnownCosts>>,
    /// That is being measured while nothing else is asked for.
    pub learning: RwSignal<bool>,
    /// what plain requests to the loaded target took
    pub history: RequestHistory,
    /// The engine's first message came.
    pub takes_requests: RwSignal<bool>,
    /// why the device was lost in the last generation, if it was
    pub recovered: RwSignal<Option<String>>,
    pub moments: StoredValue<StartMoments>,
    /// the models that are loaded, or are to be
    pub choice: RwSignal<ModelChoice>,
    /// what a worker was handed, for the next one
    folders: StoredValue<Vec<Folder>, LocalStorage>,
    /// The worker ended by itself.
    crashed: StoredValue<bool>,
    client: StoredValue<Option<Rc<Client>>, LocalStorage>,
    /// id of the request under way
    current: StoredValue<u64>,
}

impl Session {
    pub fn new() -> Self {
        Self {
            engines: Engines::new(),
            stage: RwSignal::new(Stage::Starting),
            loaded: RwSignal::new(None),
            costs: RwSignal::new(None),
            learning: RwSignal::new(false),
            history: RequestHistory::new(),
            takes_requests: RwSignal::new(false),
            recovered: RwSignal::new(None),
            moments: StoredValue::new(StartMoments::default()),
            choice: RwSignal::new(ModelChoice::default()),
            folders: StoredValue::new_local(vec![]),
            crashed: StoredValue::new(false),
            client: StoredValue::new_local(None),
            current: StoredValue::new(0),
        }
    }

    /// The engine in use, and its adapter, for a line beside figures.
    pub fn engine(self) -> String {
        self.loaded.with_untracked(|loaded| self.engines.used(loaded.as_ref().map(|loaded| &loaded.device)))
    }

    pub fn is_ready(self) -> bool {
        self.stage.with(|stage| *stage == Stage::Ready)
    }

    pub fn is_generating(self) -> bool {
        self.stage.with(|stage| *stage == Stage::Generating)
    }

    /// Nothing runs: other models can be loaded.
    pub fn is_free(self) -> bool {
        self.stage.with(|stage| matches!(stage, Stage::Ready | Stage::Failed(_)))
    }

    /// A target is loaded on its own.
    pub fn has_no_draft(self) -> bool {
        self.loaded.with(|loaded| loaded.as_ref().is_some_and(|loaded| loaded.draft.is_none()))
    }

    /// Generates; the stage is [`Stage::Generating`] meanwhile.
    pub async fn generate(
        self,
        request: GenerateRequest,
        mut on_event: impl FnMut(Event),
    ) -> Result<Generation, Ended> {
        self.generate_with(request, &mut on_event).await
    }

    /// One piece of code for all callers.
    async fn generate_with(
        self,
        request: GenerateRequest,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Generation, Ended> {
        self.stage.set(Stage::Generating);
        self.recovered.set(None);
        let (begun_ms, mut reused) = (clock::now_ms(), 0);
        let reply = self
            .ask(Request::Generate(request), &mut |reply| match reply {
                Reply::Event(event) => {
                    if let Event::Started { reused_tokens, .. } = &event {
                        reused = *reused_tokens;
                    }
                    on_event(event);
                }
                Reply::Recovering { reason } => self.recovered.set(Some(reason)),
                _ => {}
            })
            .await;
        self.settle(&reply);
        match reply? {
            Reply::Generated(generation) => {
                if !visibility::hidden_since(begun_ms) && self.recovered.with_untracked(Option::is_none) {
                    self.history.note(&generation, reused);
                }
                Ok(*generation)
            }
            _ => Err(unexpected()),
        }
    }

    /// Measures a scenario; the stage is [`Stage::Generating`] meanwhile.
    pub async fn bench(self, request: BenchRequest, mut on_step: impl FnMut(BenchStep)) -> Result<Benched, Ended> {
        self.stage.set(Stage::Generating);
        let reply = self
            .ask(Request::Bench(request), &mut |reply| {
                if let Reply::Benching(step) = reply {
                    on_step(step);
                }
            })
            .await;
        self.settle(&reply);
        match reply? {
            Reply::Benched(benched) => Ok(*benched),
            _ => Err(unexpected()),
        }
    }

    /// What to tell of a request that has no result; nothing where the stage tells it.
    pub fn explain(self, ended: Ended) -> Option<Notice> {
        match ended {
            Ended::Failed(failure) => Some(self.notice(failure, Moment::Request)),
            Ended::Gone => None,
        }
    }

    fn notice(self, failure: Failure, moment: Moment) -> Notice {
        let at = Circumstances {
            moment,
            origin: self.choice.with_untracked(ModelChoice::origin),
            is_native: self.engines.place.get_untracked() == Place::Native,
            agent: webgpu::agent(),
        };
        Notice::new(failure, &at)
    }

    /// Ready again, unless the engine is gone.
    fn settle<T>(self, outcome: &Result<T, Ended>) {
        if !matches!(outcome, Err(Ended::Gone)) {
            self.stage.set(Stage::Ready);
        }
    }

    fn fail(self, title: &'static str, notice: Notice) {
        self.stage.set(Stage::Failed(EngineProblem { title, notice }));
    }
}

fn unexpected() -> Ended {
    Ended::Failed(FailureKind::Protocol.with("the engine replied to something else"))
}
