//! The engine's thread: it owns the session and does what the page asks, one request after the other. A device's work
//! belongs to the thread that submits it, so nothing of it leaves this one.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use understory_lab::report_loader;
use understory_protocol::{Failure, FailureKind, HubAccess, LoadRequest, Loaded, Message, Progress, Reply, Request};
use understory_runtime::LoadContext;
use understory_runtime::gpu::list_adapters;
use understory_session::Session;

use super::bench::bench;
use super::models::ModelSources;
use super::monitor::Monitor;
use crate::hub::Observer;

/// Requests of one page that may wait.
const MOST_WAITING: usize = 64;
/// Replies that wait for a slow reader; then the engine waits for it.
const MOST_REPLIES: usize = 256;
/// What a generation's next token may take at the end of the program.
const LAST_TOKEN: Duration = Duration::from_secs(3);

/// A handle of the thread.
pub struct EngineThread {
    jobs: Mutex<Option<Sender<Job>>>,
    monitor: Arc<Monitor>,
    /// one page at a time
    turn: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Job {
    Request {
        id: u64,
        body: Box<Request>,
        link: Arc<Link>,
    },
    /// The page is gone: so is what it loaded.
    Gone,
}

/// What the thread and a page's connection share.
struct Link {
    replies: mpsc::Sender<Message<Reply>>,
    /// requests that wait or run, and whether they are to end
    waiting: Mutex<HashMap<u64, bool>>,
    gone: AtomicBool,
}

/// A page's hold of the engine. When it is dropped, what the page asked for ends, and the next page may come.
pub struct Connection {
    link: Arc<Link>,
    jobs: Sender<Job>,
    monitor: Arc<Monitor>,
    _turn: OwnedSemaphorePermit,
}

impl EngineThread {
    /// # Errors
    /// Where the system starts no thread.
    pub fn start(models: ModelSources, monitor: Arc<Monitor>) -> Result<Self> {
        let (jobs, queue) = channel();
        let told = Arc::clone(&monitor);
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || run(&queue, models, &told));
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            monitor,
            turn: Arc::new(Semaphore::new(1)),
            thread: Mutex::new(Some(thread.context("cannot start the engine's thread")?)),
        })
    }

    /// Waits until no other page uses the engine; then the connection, and its replies. `None` at the program's end.
    pub async fn connect(&self) -> Option<(Connection, mpsc::Receiver<Message<Reply>>)> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        let jobs = locked(&self.jobs).clone()?;
        let (replies, receiver) = mpsc::channel(MOST_REPLIES);
        let link = Arc::new(Link { replies, waiting: Mutex::default(), gone: AtomicBool::new(false) });
        let monitor = Arc::clone(&self.monitor);
        Some((Connection { link, jobs, monitor, _turn: turn }, receiver))
    }

    /// Takes no more requests, and waits a moment for the device to finish; the connections are gone before.
    pub fn end(&self) {
        *locked(&self.jobs) = None;
        let Some(thread) = locked(&self.thread).take() else { return };
        let start = Instant::now();
        // A model that is being loaded is not waited for.
        while !thread.is_finished() && start.elapsed() < LAST_TOKEN {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Connection {
    /// Takes a message of the page; what it is answered at once, if it is.
    pub fn take(&self, text: &str) -> Option<Message<Reply>> {
        let Message { id, body } = match serde_json::from_str::<Message<Request>>(text) {
            Ok(message) => message,
            Err(error) => {
                return Some(failed(0, FailureKind::Protocol.with(format!("a message that is no request: {error}"))));
            }
        };
        match body {
            Request::Stop { id } => {
                if let Some(stopped) = locked(&self.link.waiting).get_mut(&id) {
                    *stopped = true;
                }
                None
            }
            // A hidden tab slows its browser down, not this computer.
            Request::VisibilityChanged { .. } => None,
            Request::DestroyDevice => {
                Some(failed(id, FailureKind::Other.with("this server does not destroy its device")))
            }
            body => self.queue(id, body).err().map(|message| failed(id, FailureKind::Other.with(message))),
        }
    }

    fn queue(&self, id: u64, body: Request) -> Result<(), String> {
        let mut waiting = locked(&self.link.waiting);
        if waiting.len() >= MOST_WAITING {
            return Err(format!("{MOST_WAITING} requests wait already; ask again when some are done"));
        }
        if waiting.contains_key(&id) {
            return Err(format!("request {id} waits already: every request needs an id of its own"));
        }
        waiting.insert(id, false);
        let job = Job::Request { id, body: Box::new(body), link: Arc::clone(&self.link) };
        self.monitor.waiting(1.0);
        self.jobs.send(job).map_err(|_| "the engine has ended; start `understory serve` again".into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.gone.store(true, Ordering::SeqCst);
        let _ = self.jobs.send(Job::Gone);
    }
}

impl Link {
    /// Waits for a slow reader, not for one who is gone.
    fn say(&self, id: u64, body: Reply) {
        if self.replies.blocking_send(Message { id, body }).is_err() {
            self.gone.store(true, Ordering::SeqCst);
        }
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    fn ends(&self, id: u64) -> bool {
        self.is_gone() || locked(&self.waiting).get(&id).copied().unwrap_or(true)
    }
}

pub fn failed(id: u64, failure: Failure) -> Message<Reply> {
    Message { id, body: Reply::Failed(failure) }
}

/// The thread, until nobody holds the other end of the queue.
fn run(queue: &Receiver<Job>, models: ModelSources, monitor: &Monitor) {
    let mut session = Session::default();
    while let Ok(job) = queue.recv() {
        let Job::Request { id, body, link } = job else {
            session = Session::default();
            continue;
        };
        monitor.waiting(-1.0);
        let generates = matches!(*body, Request::Generate(_));
        if link.is_gone() {
            continue;
        }
        let handled =
            catch_unwind(AssertUnwindSafe(|| pollster::block_on(handle(&mut session, id, *body, &link, models))));
        let reply = handled.unwrap_or_else(|panic| {
            // What it left is not to be trusted.
            session = Session::default();
            Err(anyhow::anyhow!("the engine failed: {}", words(&*panic)))
        });
        match &reply {
            Ok(Reply::Generated(generation)) => monitor.generated(generation),
            Err(_) if generates => monitor.failed(),
            _ => {}
        }
        locked(&link.waiting).remove(&id);
        // With its causes, as on a terminal.
        link.say(id, reply.unwrap_or_else(|error| Reply::Failed(crate::exit::failure(&error))));
    }
}

async fn handle(
    session: &mut Session,
    id: u64,
    request: Request,
    link: &Arc<Link>,
    models: ModelSources,
) -> Result<Reply> {
    let mut emit = |reply| link.say(id, reply);
    match request {
        Request::Devices => Ok(Reply::Devices { adapters: list_adapters().await }),
        Request::Load(request) => {
            let observer = observer(id, link);
            Ok(Reply::Loaded(Box::new(load(session, request, models, &observer, &mut emit).await?)))
        }
        Request::Calibrate { cached } => Ok(Reply::Costs(session.calibrate(cached).await?)),
        Request::Generate(request) => {
            let generation = session.generate(&request, &|| link.ends(id), &mut emit).await?;
            Ok(Reply::Generated(Box::new(generation)))
        }
        Request::Predict(request) => Ok(Reply::Predicted(Box::new(session.predictor().answer(&request)?))),
        Request::Bench(request) => bench(session, &request, &|| link.ends(id), &mut emit).await,
        Request::Compare { reports, own } => Ok(Reply::Compared(report_loader::look(&reports, own.as_deref()))),
        Request::Models | Request::Forget { .. } => {
            bail!("this engine's models lie in this computer's cache of the hub: see `understory models`")
        }
        Request::Stop { .. } | Request::VisibilityChanged { .. } | Request::DestroyDevice => {
            unreachable!("never queued")
        }
    }
}

async fn load(
    session: &mut Session,
    request: LoadRequest,
    models: ModelSources,
    observer: &Observer,
    emit: &mut dyn FnMut(Reply),
) -> Result<Loaded> {
    // A page must not have this computer's token sent to an endpoint of its own choice.
    if request.hub != HubAccess::default() {
        bail!(
            "understory serve asks the hub that HF_ENDPOINT names, with the token of HF_TOKEN: leave both fields empty"
        );
    }
    let target = models.find(&request.target, observer)?;
    let draft =
        request.draft.as_ref().map(|source| models.find(source, observer)).transpose().context("the draft model")?;
    let draft_label = draft.as_ref().map(|draft| draft.label.clone());
    let begun = LoadContext::open(request.adapter).await?;
    let mut loaded = session.load(begun, request, target.files, draft.map(|draft| draft.files), emit).await?;
    // The files of a hub's model lie in a folder that is named for a commit.
    (loaded.target, loaded.draft) = (target.label, draft_label);
    Ok(loaded)
}

/// Tells the page of request `id` how far a download is, and ends it with the request.
fn observer(id: u64, link: &Arc<Link>) -> Observer {
    let (told, asked) = (Arc::clone(link), Arc::clone(link));
    Observer {
        progress: Arc::new(move |done_bytes, total_bytes| {
            told.say(id, Reply::Progress(Progress::Fetch { done_bytes, total_bytes }));
        }),
        ends: Arc::new(move || asked.ends(id)),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
