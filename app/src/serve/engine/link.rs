//! What a page's connection and the engine's thread share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use tokio::sync::mpsc;
use understory_protocol::{Message, Reply};

use super::{locked, words};

/// Requests of one page that may wait.
const MOST_WAITING: usize = 64;

pub struct Link {
    replies: mpsc::Sender<Message<Reply>>,
    /// requests that wait or run, and when they were told to end
    waiting: Mutex<HashMap<u64, Option<Instant>>>,
    gone: OnceLock<Instant>,
    watched: AtomicBool,
}

impl Link {
    pub fn new(replies: mpsc::Sender<Message<Reply>>) -> Self {
        Self { replies, waiting: Mutex::default(), gone: OnceLock::new(), watched: AtomicBool::new(false) }
    }

    /// # Errors
    /// In words, where too many wait or one of the same id does.
    pub fn expect(&self, id: u64) -> Result<(), String> {
        let mut waiting = locked(&self.waiting);
        if waiting.len() >= MOST_WAITING {
            return Err(format!("{MOST_WAITING} requests wait already; ask again when some are done"));
        }
        if waiting.contains_key(&id) {
            return Err(format!("request {id} waits already: every request needs an id of its own"));
        }
        waiting.insert(id, None);
        Ok(())
    }

    /// No reply to `id` follows any more but the one that comes next.
    pub fn forget(&self, id: u64) {
        locked(&self.waiting).remove(&id);
    }

    /// The request `id` is to end, if there is one.
    pub fn stop(&self, id: u64) {
        if let Some(stopped) = locked(&self.waiting).get_mut(&id) {
            stopped.get_or_insert_with(Instant::now);
        }
    }

    /// All of them are: the page is gone.
    pub fn go(&self) {
        self.gone.get_or_init(Instant::now);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.get().is_some()
    }

    pub fn ends(&self, id: u64) -> bool {
        self.is_gone() || locked(&self.waiting).get(&id).is_none_or(Option::is_some)
    }

    /// Since when the request `id` is to end.
    pub fn ends_since(&self, id: u64) -> Option<Instant> {
        self.gone.get().copied().or_else(|| *locked(&self.waiting).get(&id)?)
    }

    /// Whether a request is still here that was told to end.
    pub fn any_stopped(&self) -> bool {
        locked(&self.waiting).values().any(Option::is_some)
    }

    /// Waits for a slow reader, not for one who is gone. For the engine's thread alone.
    pub fn say(&self, id: u64, body: Reply) {
        if self.replies.blocking_send(Message { id, body: words::bounded(body) }).is_err() {
            self.go();
        }
    }

    /// As [`say`](Self::say), for tasks.
    pub async fn tell(&self, id: u64, body: Reply) {
        if self.replies.send(Message { id, body: words::bounded(body) }).await.is_err() {
            self.go();
        }
    }

    /// Whether somebody watched it before. One watch is enough for all of its requests.
    pub fn set_watched(&self, watched: bool) -> bool {
        self.watched.swap(watched, Ordering::SeqCst)
    }
}
