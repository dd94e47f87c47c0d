//! The engine behind the socket. A device's work belongs to the thread that submits it, so one thread owns the session,
//! and nothing of it leaves that thread. Here is what pages have of it: turns, requests, and an end to those that hang.

mod link;
mod queue;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;
use understory_protocol::{Failure, FailureKind, Message, Reply, Request};

use self::link::Link;
use self::queue::{Job, Queue};
use super::models::ModelSources;
use super::monitor::Monitor;
use super::words;

/// Replies that wait for a slow reader; then the engine waits for it.
const MOST_REPLIES: usize = 256;
/// What a generation's next token may take at the end of the program.
const LAST_TOKEN: Duration = Duration::from_secs(3);
/// How long a request may go on after it was told to end; then its thread is given up, and what it loaded. A long prompt on
/// a slow device takes seconds.
const GRACE: Duration = Duration::from_secs(10);
/// Threads that were given up and have not ended, each with what it holds of the device.
const MOST_STUCK: usize = 4;
/// Of the thread, in bytes of address space: what parses a stranger's files may recurse.
const STACK: usize = 256 << 20;

const ENDED: &str = "the engine has ended; start `understory serve` again";

/// A handle of the thread.
pub struct EngineThread(Arc<Parts>);

struct Parts {
    queue: Arc<Queue>,
    models: ModelSources,
    monitor: Arc<Monitor>,
    /// one page at a time
    turn: Arc<Semaphore>,
    /// the last one is the worker, those before were given up
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A page's hold of the engine. When it is dropped, what the page asked for ends, and the next page may come.
pub struct Connection {
    link: Arc<Link>,
    engine: Arc<Parts>,
    _turn: OwnedSemaphorePermit,
}

impl EngineThread {
    /// # Errors
    /// Where the system starts no thread.
    pub fn start(models: ModelSources, monitor: Arc<Monitor>) -> Result<Self> {
        let parts = Arc::new(Parts {
            queue: Arc::default(),
            models,
            monitor,
            turn: Arc::new(Semaphore::new(1)),
            threads: Mutex::default(),
        });
        parts.start(0)?;
        Ok(Self(parts))
    }

    /// Waits until no other page uses the engine; then the connection, and its replies. `None` at the program's end.
    pub async fn connect(&self) -> Option<(Connection, mpsc::Receiver<Message<Reply>>)> {
        let turn = Arc::clone(&self.0.turn).acquire_owned().await.ok()?;
        let (replies, receiver) = mpsc::channel(MOST_REPLIES);
        let connection = Connection { link: Arc::new(Link::new(replies)), engine: Arc::clone(&self.0), _turn: turn };
        Some((connection, receiver))
    }

    /// Takes no more requests, and waits a moment for the device to finish; the connections are gone before.
    pub fn end(&self) {
        self.0.queue.close();
        let Some(thread) = locked(&self.0.threads).pop() else { return };
        let start = Instant::now();
        // A model that is being loaded is not waited for.
        while !thread.is_finished() && start.elapsed() < LAST_TOKEN {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Parts {
    fn start(&self, worker: u64) -> Result<()> {
        let (queue, models, monitor) = (Arc::clone(&self.queue), self.models, Arc::clone(&self.monitor));
        // A session that panics at its own end is replaced as well.
        let work = move || {
            while catch_unwind(AssertUnwindSafe(|| worker::work(&queue, worker, models, &monitor))).is_err() {}
        };
        let thread = std::thread::Builder::new().name("engine".into()).stack_size(STACK).spawn(work);
        locked(&self.threads).push(thread.context("cannot start the engine's thread")?);
        Ok(())
    }

    /// Sees to it that what was told to end on `link` does.
    fn watch(self: &Arc<Self>, link: &Arc<Link>) {
        // At the program's end there is nothing to watch any more.
        let Ok(runtime) = Handle::try_current() else { return };
        if link.set_watched(true) {
            return;
        }
        let (engine, link) = (Arc::clone(self), Arc::clone(link));
        runtime.spawn(async move {
            loop {
                sleep(GRACE).await;
                link.set_watched(false);
                let any = if link.is_gone() { engine.queue.runs_for(&link) } else { link.any_stopped() };
                if !any {
                    return;
                }
                engine.give_up_stuck().await;
                if link.set_watched(true) {
                    return;
                }
            }
        });
    }

    async fn give_up_stuck(&self) {
        let Some((running, worker)) = self.queue.take_from_stuck(GRACE) else { return };
        tracing::warn!("a request did not end when it was stopped; its thread was given up");
        let stuck = {
            let mut threads = locked(&self.threads);
            threads.retain(|thread| !thread.is_finished());
            threads.len()
        };
        if stuck > MOST_STUCK || self.start(worker).is_err() {
            for job in self.queue.close() {
                if let Job::Request { id, link, .. } = job {
                    link.forget(id);
                    link.tell(id, Reply::Failed(FailureKind::Other.with(ENDED))).await;
                }
            }
        }
        let words = "the request did not end when it was stopped, and the engine was started anew: load a model again";
        running.link.forget(running.id);
        running.link.tell(running.id, Reply::Failed(FailureKind::Crashed.with(words))).await;
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
                self.link.stop(id);
                self.engine.watch(&self.link);
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
        self.link.expect(id)?;
        let job = Job::Request { id, body: Box::new(body), link: Arc::clone(&self.link) };
        self.engine.monitor.waiting(1.0);
        if self.engine.queue.push(job) {
            return Ok(());
        }
        self.engine.monitor.waiting(-1.0);
        self.link.forget(id);
        Err(ENDED.into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.go();
        self.engine.queue.push(Job::Gone);
        self.engine.watch(&self.link);
    }
}

pub fn failed(id: u64, failure: Failure) -> Message<Reply> {
    Message { id, body: words::bounded(Reply::Failed(failure)) }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
