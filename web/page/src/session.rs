//! The engine's state as the page sees it: from the start of its worker to the last reply.

use std::rc::Rc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{
    BenchRequest, BenchStep, Benched, Costs, Event, GenerateRequest, Generation, LoadRequest, Loaded,
    MeasuredRequest as RequestTimes, Phases, Progress, Reply, Request,
};

use crate::app::Page;
use crate::choice::{Choice, Folder};
use crate::client::Client;
use crate::engines::{Engines, Place};
use crate::support::{self, Failure};
use crate::{storage, visibility};

/// Times of requests that are kept, the newest ones.
const MOST_REQUESTS: usize = 64;

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
    /// The worker is gone; the stage says why.
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
    /// what plain requests to the loaded target took
    pub requests: RwSignal<Vec<RequestTimes>>,
    /// The engine's first message came.
    pub takes_requests: RwSignal<bool>,
    /// why the device was lost in the last generation, if it was
    pub recovered: RwSignal<Option<String>>,
    pub moments: StoredValue<Moments>,
    /// the models that are loaded, or are to be
    pub choice: RwSignal<Choice>,
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
            measured: RwSignal::new(None),
            requests: RwSignal::new(vec![]),
            takes_requests: RwSignal::new(false),
            recovered: RwSignal::new(None),
            moments: StoredValue::new(Moments::default()),
            choice: RwSignal::new(Choice::default()),
            folders: StoredValue::new_local(vec![]),
            crashed: StoredValue::new(false),
            client: StoredValue::new_local(None),
            current: StoredValue::new(0),
        }
    }

    /// Starts the chosen engine, in place of the one before, and loads the models of `choice`.
    pub fn start(self) {
        self.forget();
        self.takes_requests.set(false);
        let place = self.engines.place.get_untracked();
        // Without WebGPU the worker still predicts.
        self.stage.set(self.missing().map_or(Stage::Starting, Stage::Failed));
        self.moments.set_value(Moments { begun_ms: Page::clock(), ..Moments::default() });
        self.crashed.set_value(false);
        let crash = move |message| {
            self.crashed.set_value(true);
            self.takes_requests.set(false);
            self.fail(Failure::ended(place, message));
        };
        match Client::start(place, crash) {
            Ok((client, mut ready)) => {
                self.folders.with_value(|all| all.iter().for_each(|Folder { name, files }| client.hand(name, files)));
                self.client.set_value(Some(Rc::new(client)));
                spawn_local(async move {
                    if ready.recv().await.is_ok() {
                        self.moments.update_value(|moments| moments.ready_ms = Page::clock());
                        self.takes_requests.set(true);
                        self.load().await;
                    }
                });
            }
            Err(message) => crash(message),
        }
    }

    /// Loads other models in place of those that are loaded.
    pub fn change(self, choice: Choice) {
        self.choice.set(choice);
        if self.crashed.get_value() || self.client.with_value(Option::is_none) {
            return self.start();
        }
        self.forget();
        spawn_local(self.load());
    }

    /// Nothing is loaded any more.
    fn forget(self) {
        self.loaded.set(None);
        self.measured.set(None);
        self.requests.set(vec![]);
    }

    /// Why the chosen engine cannot run in this browser, if it cannot.
    fn missing(self) -> Option<Failure> {
        (self.engines.place.get_untracked() == Place::Browser).then(support::missing).flatten()
    }

    /// Hands a folder to the worker, in place of the one of the same name.
    pub fn hand(self, folder: Folder) {
        self.client.with_value(|client| {
            if let Some(client) = client {
                client.hand(&folder.name, &folder.files);
            }
        });
        self.folders.update_value(|all| {
            all.retain(|other| other.name != folder.name);
            all.push(folder);
        });
    }

    /// The reply to a request that takes its turn beside what the stage speaks of.
    pub async fn query(self, request: Request) -> Result<Reply, Ended> {
        let asked = self.client.with_value(|client| client.as_ref().map(|client| client.ask(request)));
        let (_, mut replies) = asked.ok_or(Ended::Gone)?;
        match replies.recv().await {
            Ok(Reply::Failed { message }) => Err(Ended::Failed(message)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(Ended::Gone),
        }
    }

    /// The engine in use, and its adapter, for a line beside figures.
    pub fn engine(self) -> String {
        self.loaded.with_untracked(|loaded| self.engines.used(loaded.as_ref().map(|loaded| &loaded.device)))
    }

    pub fn is_ready(self) -> bool {
        self.stage.with(|stage| *stage == Stage::Ready)
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
        let (begun_ms, mut reused) = (Page::clock(), 0);
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
                    self.note(&generation, reused);
                }
                Ok(*generation)
            }
            _ => Err(unexpected()),
        }
    }

    /// Keeps what a plain request took.
    fn note(self, generation: &Generation, reused: usize) {
        let metrics = &generation.metrics;
        let (None, Some(tpot_ms)) = (&generation.speculation, metrics.tpot_ms) else { return };
        let (input, output) = (generation.prompt_token_ids.len(), generation.token_ids.len());
        let ttft_ms = metrics.engine_ttft_ms.filter(|_| reused == 0);
        self.requests.update(|all| {
            all.push(RequestTimes { input, output, ttft_ms, tpot_ms });
            let too_many = all.len().saturating_sub(MOST_REQUESTS);
            all.drain(..too_many);
        });
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

    /// Tells the engine what it does not ask for.
    pub fn tell(self, request: Request) {
        self.client.with_value(|client| client.as_ref().map(|client| client.tell(request)));
    }

    /// Ends the generation or the scenario under way; what there is of it stays.
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

    async fn load(self) {
        if let Some(failure) = self.missing() {
            return self.fail(failure);
        }
        match self.load_choice().await {
            Ok(()) => self.stage.set(Stage::Ready),
            Err(Ended::Failed(message)) => {
                let (place, bundled) =
                    (self.engines.place.get_untracked(), self.choice.with_untracked(Choice::is_bundled));
                self.fail(Failure::not_loaded(place, message, bundled));
            }
            Err(Ended::Gone) => {}
        }
    }

    async fn load_choice(self) -> Result<(), Ended> {
        let mut step = Step { draft: false, progress: None };
        self.stage.set(Stage::Loading(step.clone()));
        let Choice { target, draft, dtype, hub } = self.choice.get_untracked();
        let request = LoadRequest { target, draft, dtype, profile: None, adapter: None, hub };
        let reply = self
            .ask(Request::Load(request), &mut |reply| {
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
        let reply = self.ask(Request::Calibrate { cached: kept }, &mut |_| {}).await?;
        let Reply::Costs(costs) = reply else { return Err(unexpected()) };
        self.moments.update_value(|moments| moments.calibrated_ms = Page::clock());
        if let Some(key) = self.loaded.with_untracked(|loaded| loaded.as_ref().map(|l| l.calibration_key.clone())) {
            storage::keep_costs(key, costs.clone());
        }
        self.measured.set(Some(Measured { costs, kept: known }));
        Ok(())
    }

    /// The last reply to `request`; `during` takes those before it.
    async fn ask(self, request: Request, during: &mut dyn FnMut(Reply)) -> Result<Reply, Ended> {
        let asked = self.client.with_value(|client| client.as_ref().map(|client| client.ask(request)));
        let (id, mut replies) = asked.ok_or(Ended::Gone)?;
        self.current.set_value(id);
        while let Ok(reply) = replies.recv().await {
            match reply {
                reply if reply.is_interim() => during(reply),
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
