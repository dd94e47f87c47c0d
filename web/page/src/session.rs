//! The engine's state as the page sees it: from its start to the last reply.

use std::rc::Rc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_engine::protocol::{
    Costs, Event, GenerateRequest, Generation, LoadRequest, Loaded, ModelSource, Phases, Reply, Request,
};
use understory_engine::{Dtype, Progress};

use crate::app::Page;
use crate::client::{Client, Replies};
use crate::engines::{Engines, Place};
use crate::storage;
use crate::support::{self, Failure};

pub const TARGET: &str = "tales";
pub const DRAFT: &str = "tales-draft";

#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    Starting,
    Loading(Step),
    Calibrating,
    Ready,
    Generating,
    Failed(Failure),
}

/// How far loading is.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// the draft model's turn
    pub draft: bool,
    /// `None`: files are on their way
    pub progress: Option<Progress>,
}

/// Why a request has no result.
pub enum Ended {
    /// what the engine says
    Failed(String),
    /// The engine is gone; the stage says why.
    Gone,
}

/// Costs, and whether they are those of an earlier visit.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub costs: Costs,
    pub kept: bool,
}

/// Moments of the engine's last start, in milliseconds on the page's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// A worker was asked for.
    pub begun_ms: f64,
    /// its first message
    pub ready_ms: f64,
    pub loaded_ms: f64,
    pub calibrated_ms: f64,
    /// what the worker says of the time between
    pub loading: Phases,
}

#[derive(Clone, Copy)]
pub struct Session {
    pub engines: Engines,
    pub stage: RwSignal<Stage>,
    pub loaded: RwSignal<Option<Loaded>>,
    pub measured: RwSignal<Option<Measured>>,
    /// why the device was lost in the last generation, if it was
    pub recovered: RwSignal<Option<String>>,
    pub moments: StoredValue<Moments>,
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
            measured: RwSignal::new(None),
            recovered: RwSignal::new(None),
            moments: StoredValue::new(Moments::default()),
            client: StoredValue::new_local(None),
            current: StoredValue::new(0),
        }
    }

    /// Starts the chosen engine, in place of the one before, and loads the bundled pair.
    pub fn start(self) {
        self.loaded.set(None);
        self.measured.set(None);
        let place = self.engines.place.get_untracked();
        let missing = if place == Place::Browser { support::missing() } else { None };
        if let Some(failure) = missing {
            // Another engine may have been in use.
            self.client.set_value(None);
            self.fail(failure);
            return;
        }
        self.stage.set(Stage::Starting);
        self.moments.set_value(Moments { begun_ms: Page::clock(), ..Moments::default() });
        match Client::start(place, move |message| self.fail(Failure::ended(place, message))) {
            Ok((client, ready)) => {
                self.client.set_value(Some(Rc::new(client)));
                spawn_local(async move {
                    match self.load(ready).await {
                        Ok(()) => self.stage.set(Stage::Ready),
                        Err(Ended::Failed(message)) => self.fail(Failure::unloadable(place, message)),
                        Err(Ended::Gone) => {}
                    }
                });
            }
            Err(message) => self.fail(Failure::ended(place, message)),
        }
    }

    /// The engine in use, and its adapter, for a line beside figures.
    pub fn engine(self) -> String {
        self.loaded.with_untracked(|loaded| self.engines.used(loaded.as_ref().map(|loaded| &loaded.device)))
    }

    pub fn is_ready(self) -> bool {
        self.stage.with(|stage| *stage == Stage::Ready)
    }

    /// Generates; the stage is [`Stage::Generating`] meanwhile.
    pub async fn generate(
        self,
        request: GenerateRequest,
        mut on_event: impl FnMut(Event),
    ) -> Result<Generation, Ended> {
        self.stage.set(Stage::Generating);
        self.recovered.set(None);
        let reply = self
            .ask(Request::Generate(request), |reply| match reply {
                Reply::Event(event) => on_event(event),
                Reply::Recovering { reason } => self.recovered.set(Some(reason)),
                _ => {}
            })
            .await;
        self.settle(&reply);
        match reply? {
            Reply::Generated(generation) => Ok(*generation),
            _ => Err(unexpected()),
        }
    }

    /// Ends the generation under way; its tokens so far stay.
    pub fn stop(self) {
        self.client.with_value(|client| {
            if let Some(client) = client {
                client.stop(self.current.get_value());
            }
        });
    }

    /// Measures anew what passes cost.
    pub fn measure(self) {
        spawn_local(async move {
            let measured = self.calibrate(None).await;
            self.settle(&measured);
            if let Err(Ended::Failed(message)) = measured {
                self.fail(Failure::crashed(message));
            }
        });
    }

    async fn load(self, mut ready: Replies) -> Result<(), Ended> {
        ready.recv().await.map_err(|_| Ended::Gone)?;
        self.moments.update_value(|moments| moments.ready_ms = Page::clock());
        let mut step = Step { draft: false, progress: None };
        self.stage.set(Stage::Loading(step.clone()));
        let request = LoadRequest {
            target: ModelSource::Bundled { name: TARGET.into() },
            draft: Some(ModelSource::Bundled { name: DRAFT.into() }),
            dtype: Dtype::F16,
            profile: None,
            adapter: None,
        };
        let reply = self
            .ask(Request::Load(request), |reply| {
                if let Reply::Progress(progress) = reply {
                    // The target's pipelines are the last of it: weights after them are the draft's.
                    let after_pipelines = matches!(step.progress, Some(Progress::Pipelines { .. }));
                    step.draft |= after_pipelines && matches!(progress, Progress::Upload { .. });
                    step.progress = Some(progress);
                    self.stage.set(Stage::Loading(step.clone()));
                }
            })
            .await?;
        let Reply::Loaded(loaded) = reply else { return Err(unexpected()) };
        self.moments.update_value(|moments| {
            (moments.loaded_ms, moments.loading) = (Page::clock(), loaded.phases_ms);
        });
        let kept = storage::costs(&loaded.calibration_key);
        self.loaded.set(Some(*loaded));
        self.calibrate(kept).await
    }

    /// Hands `kept` to the engine, or has it measure; what comes of it is kept for the next visit.
    async fn calibrate(self, kept: Option<Costs>) -> Result<(), Ended> {
        self.stage.set(Stage::Calibrating);
        let known = kept.is_some();
        let reply = self.ask(Request::Calibrate { cached: kept }, |_| {}).await?;
        let Reply::Costs(costs) = reply else { return Err(unexpected()) };
        self.moments.update_value(|moments| moments.calibrated_ms = Page::clock());
        if let Some(key) = self.loaded.with_untracked(|loaded| loaded.as_ref().map(|l| l.calibration_key.clone())) {
            storage::keep_costs(key, costs.clone());
        }
        self.measured.set(Some(Measured { costs, kept: known }));
        Ok(())
    }

    /// The last reply to `request`; `during` takes those before it.
    async fn ask(self, request: Request, mut during: impl FnMut(Reply)) -> Result<Reply, Ended> {
        let asked = self.client.with_value(|client| client.as_ref().map(|client| client.ask(request)));
        let (id, mut replies) = asked.ok_or(Ended::Gone)?;
        self.current.set_value(id);
        while let Ok(reply) = replies.recv().await {
            match reply {
                Reply::Progress(_) | Reply::Event(_) | Reply::Recovering { .. } => during(reply),
                Reply::Failed { message } => return Err(Ended::Failed(message)),
                last => return Ok(last),
            }
        }
        Err(Ended::Gone)
    }

    /// Ready again, unless the engine is gone.
    fn settle<T>(self, outcome: &Result<T, Ended>) {
        if !matches!(outcome, Err(Ended::Gone)) {
            self.stage.set(Stage::Ready);
        }
    }

    fn fail(self, failure: Failure) {
        self.stage.set(Stage::Failed(failure));
    }
}

fn unexpected() -> Ended {
    Ended::Failed("the engine replied to something else".into())
}
