//! An engine, wherever it runs: requests out, replies in, each reply to whoever asked.

mod place;
pub mod server;
mod socket;
mod worker;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use understory_protocol::{Failure, FailureKind, Message, Reply, Request};
use web_sys::File;

pub use place::Place;

/// Replies to one request, the last of them no interim one; it ends early where the engine does.
pub type Replies = UnboundedReceiver<Reply>;

type Waiting = Rc<RefCell<BTreeMap<u64, UnboundedSender<Reply>>>>;
type OnCrash = Box<dyn Fn(Failure)>;

/// The way to an engine; it ends with this value.
enum Transport {
    Worker(worker::Link),
    Socket(socket::Link),
}

/// What comes back on that way.
#[derive(Clone)]
struct Ears {
    waiting: Waiting,
    /// `None` once it was told
    on_crash: Rc<RefCell<Option<OnCrash>>>,
}

/// An engine; it ends with this value.
pub struct Client {
    transport: Transport,
    waiting: Waiting,
    last_id: Cell<u64>,
}

impl Client {
    /// Starts the engine at `place`. Its first reply is [`Reply::Ready`]; `on_crash` hears why it ended, if it does.
    ///
    /// # Errors
    /// Where the browser refuses the worker or the connection.
    pub fn start(place: Place, on_crash: impl Fn(Failure) + 'static) -> Result<(Self, Replies), String> {
        let (first, ready) = unbounded();
        let waiting = Waiting::default();
        waiting.borrow_mut().insert(0, first);
        let on_crash: OnCrash = Box::new(on_crash);
        let ears = Ears { waiting: waiting.clone(), on_crash: Rc::new(RefCell::new(Some(on_crash))) };
        let transport = match place {
            Place::Browser => Transport::Worker(worker::Link::start(ears)?),
            Place::Native => Transport::Socket(socket::Link::start(ears)?),
        };
        Ok((Self { transport, waiting, last_id: Cell::new(0) }, ready))
    }

    /// Sends `request`; its id and where its replies arrive.
    pub fn ask(&self, request: Request) -> (u64, Replies) {
        let (sender, replies) = unbounded();
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        self.waiting.borrow_mut().insert(id, sender);
        self.send(id, request);
        (id, replies)
    }

    /// Ends the generation with this id.
    pub fn stop(&self, id: u64) {
        self.send(id, Request::Stop { id });
    }

    /// Hands a folder to the worker, for requests that name it; paths are relative to it. It means nothing to another
    /// computer's engine, which says so when it is to load from it.
    pub fn hand(&self, name: &str, files: &[(String, File)]) {
        if let Transport::Worker(worker) = &self.transport {
            worker.hand(name, files);
        }
    }

    /// Says what has no reply.
    pub fn tell(&self, request: Request) {
        self.send(0, request);
    }

    fn send(&self, id: u64, body: Request) {
        let send = |text: String| match &self.transport {
            Transport::Worker(worker) => worker.send(&text),
            Transport::Socket(socket) => socket.send(&text),
        };
        let sent = serde_json::to_string(&Message { id, body }).map_err(|error| error.to_string()).and_then(send);
        if let Err(message) = sent {
            deliver(&self.waiting, id, Reply::Failed(FailureKind::Crashed.with(message)));
        }
    }
}

impl Ears {
    /// Takes a text of the engine.
    fn hear(&self, text: &str) {
        match serde_json::from_str(text) {
            Ok(Message { id: 0, body: Reply::Failed(failure) }) => self.crash(failure),
            Ok(Message { id, body }) => deliver(&self.waiting, id, body),
            Err(error) => {
                self.crash(FailureKind::Protocol.with(format!("the engine sent what is no reply: {error}")));
            }
        }
    }

    /// The engine ended; only the first reason counts.
    fn crash(&self, failure: Failure) {
        // Whoever waits sees the end of the replies.
        self.waiting.borrow_mut().clear();
        let on_crash = self.on_crash.take();
        if let Some(on_crash) = on_crash {
            on_crash(failure);
        }
    }
}

fn deliver(waiting: &Waiting, id: u64, body: Reply) {
    let mut waiting = waiting.borrow_mut();
    let sender = if body.is_interim() { waiting.get(&id).cloned() } else { waiting.remove(&id) };
    if let Some(sender) = sender {
        // It fails where nobody listens any more.
        let _ = sender.unbounded_send(body);
    }
}
