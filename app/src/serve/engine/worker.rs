//! The engine's thread: it owns the session and does what pages ask, one request after the other. Whatever a request
//! does, this goes on: a panic ends the request and the session, and no more.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use understory_lab::report_loader;
use understory_protocol::{Costs, Failure, FailureKind, HubAccess, LoadRequest, Loaded, Progress, Reply, Request};
use understory_runtime::LoadContext;
use understory_runtime::gpu::list_adapters;
use understory_session::Session;

use super::link::Link;
use super::queue::{Job, Queue, Turn};
use crate::folders;
use crate::hub::Observer;
use crate::serve::bench::bench;
use crate::serve::models::ModelSources;
use crate::serve::monitor::Monitor;

/// Leaves a request through all that it called, as a panic does, but without a word on the terminal.
struct Stopped;

/// A request, for those who work at it.
#[derive(Clone)]
struct Task {
    id: u64,
    link: Arc<Link>,
    queue: Arc<Queue>,
    worker: u64,
}

impl Task {
    fn ends(&self) -> bool {
        !self.queue.is_worker(self.worker) || self.link.ends(self.id)
    }

    /// For work that cannot end early by itself: does not return where the request is to end.
    fn leave_if_ended(&self) {
        if self.ends() {
            resume_unwind(Box::new(Stopped));
        }
    }

    /// For work that asks by itself whether it is to end. It does not return to a worker that was given up.
    fn say(&self, body: Reply) {
        if !self.queue.is_worker(self.worker) {
            resume_unwind(Box::new(Stopped));
        }
        self.link.say(self.id, body);
    }
}

/// Works until the queue is closed or somebody else's.
pub fn work(queue: &Arc<Queue>, worker: u64, models: ModelSources, monitor: &Monitor) {
    let mut session = Session::default();
    let mut put_off: Option<PutOff> = None;
    loop {
        let turn = match &put_off {
            Some(PutOff { task, .. }) => queue.turn(worker, (task.id, &task.link)),
            None => queue.next(worker).map_or(Turn::End, Turn::Job),
        };
        let job = match turn {
            Turn::End => return,
            Turn::Job(job) => job,
            Turn::Idle => {
                let more = put_off.as_mut().is_some_and(|put_off| put_off.go_on(&mut session));
                if !queue.done(worker) {
                    return;
                }
                put_off = put_off.filter(|_| more);
                continue;
            }
        };
        let Job::Request { id, body, link } = job else {
            put_off = None;
            renew(&mut session);
            continue;
        };
        monitor.waiting(-1.0);
        let task = Task { id, link, queue: Arc::clone(queue), worker };
        if let Request::Load(_) | Request::Calibrate { .. } = *body
            && let Some(put_off) = put_off.take()
        {
            put_off.leave();
        }
        if let Request::Calibrate { cached, in_background: true } = *body {
            put_off = Some(PutOff::begin(task.clone(), &mut session, cached));
            if !queue.done(worker) {
                return;
            }
            continue;
        }
        let generates = matches!(*body, Request::Generate(_));
        let reply = (!task.link.is_gone()).then(|| answer(&mut session, &task, *body, models));
        if !queue.done(worker) {
            // Its page has been answered.
            return;
        }
        match &reply {
            Some(Reply::Generated(generation)) => monitor.generated(generation),
            Some(Reply::Failed(_)) if generates => monitor.failed(),
            _ => {}
        }
        if let Some(reply) = reply {
            task.link.forget(id);
            task.link.say(id, reply);
        }
    }
}

/// What is done while nobody asks for anything: a calibration in the background.
struct PutOff {
    task: Task,
    answered: bool,
}

impl PutOff {
    fn begin(task: Task, session: &mut Session, cached: Option<Costs>) -> Self {
        let mut put_off = Self { task, answered: false };
        match session.begin_learning(cached) {
            // What is left to do with kept costs needs no answer.
            Ok(Some(costs)) => put_off.answer(Reply::Costs(costs)),
            Ok(None) => {}
            Err(error) => put_off.answer(Reply::Failed((&error).into())),
        }
        put_off
    }

    /// Takes a step; false: it was the last one.
    fn go_on(&mut self, session: &mut Session) -> bool {
        if !self.answered && self.task.ends() {
            self.answer(Reply::Failed(failure(&Stopped)));
            return false;
        }
        match catch_unwind(AssertUnwindSafe(|| pollster::block_on(session.learn_one()))) {
            Ok(Ok(true)) => return true,
            Ok(Ok(false)) => match session.costs() {
                Some(costs) => self.answer(Reply::Costs(costs)),
                None => self.answer(Reply::Failed(FailureKind::Other.with("it cannot be measured what passes cost"))),
            },
            Ok(Err(error)) => self.answer(Reply::Failed((&error).into())),
            Err(panic) => {
                renew(session);
                self.answer(Reply::Failed(failure(&*panic)));
            }
        }
        false
    }

    /// Something else takes its place.
    fn leave(mut self) {
        self.answer(Reply::Failed(FailureKind::Other.with("it was given up for another request")));
    }

    fn answer(&mut self, reply: Reply) {
        // A worker that was given up says nothing any more.
        if !std::mem::replace(&mut self.answered, true) && self.task.queue.is_worker(self.task.worker) {
            self.task.link.forget(self.task.id);
            self.task.link.say(self.task.id, reply);
        }
    }
}

/// A session without a model, whatever becomes of the one before.
fn renew(session: &mut Session) {
    let old = mem::take(session);
    let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
}

fn answer(session: &mut Session, task: &Task, request: Request, models: ModelSources) -> Reply {
    match catch_unwind(AssertUnwindSafe(|| pollster::block_on(handle(session, task, request, models)))) {
        Ok(Ok(reply)) => reply,
        // With its causes, as on a terminal.
        Ok(Err(error)) => Reply::Failed(crate::exit::failure(&error)),
        Err(panic) => {
            // What it left is not to be trusted.
            renew(session);
            Reply::Failed(failure(&*panic))
        }
    }
}

fn failure(panic: &(dyn Any + Send)) -> Failure {
    if panic.is::<Stopped>() {
        return FailureKind::Other.with("the request was stopped");
    }
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let words = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
    FailureKind::Crashed.with(format!("the engine failed: {words}"))
}

async fn handle(session: &mut Session, task: &Task, request: Request, models: ModelSources) -> Result<Reply> {
    let ends = || task.ends();
    let mut say = |reply| task.say(reply);
    if !matches!(request, Request::Generate(_) | Request::Bench(_)) {
        task.leave_if_ended();
    }
    match request {
        Request::Devices => Ok(Reply::Devices { adapters: list_adapters().await }),
        Request::Load(request) => Ok(Reply::Loaded(Box::new(load(session, task, request, models).await?))),
        Request::Calibrate { cached, in_background: _ } => Ok(Reply::Costs(session.calibrate(cached).await?)),
        Request::Generate(request) => {
            Ok(Reply::Generated(Box::new(session.generate(&request, &ends, &mut say).await?)))
        }
        Request::Predict(request) => Ok(Reply::Predicted(Box::new(session.predictor().answer(&request)?))),
        Request::Bench(request) => bench(session, &request, &ends, &mut say).await,
        Request::Compare { reports, own } => Ok(Reply::Compared(report_loader::look(&reports, own.as_deref()))),
        Request::Models | Request::Forget { .. } => {
            bail!("this engine's models lie in this computer's cache of the hub: see `understory models`")
        }
        Request::Stop { .. } | Request::VisibilityChanged { .. } | Request::DestroyDevice => {
            unreachable!("never queued")
        }
    }
}

async fn load(session: &mut Session, task: &Task, request: LoadRequest, models: ModelSources) -> Result<Loaded> {
    // A page must not have this computer's token sent to an endpoint of its own choice.
    if request.hub != HubAccess::default() {
        bail!(
            "understory serve asks the hub that HF_ENDPOINT names, with the token of HF_TOKEN: leave both fields empty"
        );
    }
    let observer = observer(task);
    let target = models.find(&request.target, &observer)?;
    let draft =
        request.draft.as_ref().map(|source| models.find(source, &observer)).transpose().context("the draft model")?;
    let draft_label = draft.as_ref().map(|draft| draft.label.clone());
    task.leave_if_ended();
    let mut begun = LoadContext::open(request.adapter).await?;
    if let Some(folder) = folders::cache() {
        begun.keep_pipelines_in(&folder);
    }
    let mut emit = |reply| {
        task.leave_if_ended();
        task.say(reply);
    };
    let mut loaded = session.load(begun, request, target.files, draft.map(|draft| draft.files), &mut emit).await?;
    // The files of a hub's model lie in a folder that is named for a commit.
    (loaded.target, loaded.draft) = (target.label, draft_label);
    Ok(loaded)
}

/// Tells the page how far a download is, and ends the download with the request.
fn observer(task: &Task) -> Observer {
    let (told, asked) = (task.clone(), task.clone());
    Observer {
        progress: Arc::new(move |done_bytes, total_bytes| {
            told.say(Reply::Progress(Progress::Fetch { done_bytes, total_bytes }));
        }),
        ends: Arc::new(move || asked.ends()),
    }
}
