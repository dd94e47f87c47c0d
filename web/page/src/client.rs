//! The engine's worker: requests out, replies in, each reply to whoever asked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use js_sys::{Array, Object, Reflect};
use understory_engine::protocol::{Message, Reply, Request};
use wasm_bindgen::prelude::*;
use web_sys::{File, MessageEvent, Worker, WorkerOptions, WorkerType};

/// Replies to one request, the last of them neither progress nor an event; it ends early where the worker does.
pub type Replies = UnboundedReceiver<Reply>;

type Waiting = Rc<RefCell<BTreeMap<u64, UnboundedSender<Reply>>>>;

/// A worker; it ends with this value.
pub struct Client {
    worker: Worker,
    waiting: Waiting,
    last_id: Cell<u64>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(JsValue)>,
}

impl Client {
    /// Starts a worker. Its first reply is [`Reply::Ready`]; `on_crash` hears why it ended, if it does.
    ///
    /// # Errors
    /// Where the browser refuses the worker.
    pub fn start(on_crash: impl Fn(String) + 'static) -> Result<(Self, Replies), String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options("./worker.js", &options)
            .map_err(|error| format!("the browser refused the worker: {error:?}"))?;
        let (first, ready) = unbounded();
        let waiting: Waiting = Rc::new(RefCell::new(BTreeMap::from([(0, first)])));
        let crash = {
            let waiting = waiting.clone();
            Rc::new(move |message| {
                // Whoever waits sees the end of the replies.
                waiting.borrow_mut().clear();
                on_crash(message);
            })
        };
        let on_message = {
            let (waiting, crash) = (waiting.clone(), crash.clone());
            Closure::<dyn FnMut(_)>::new(move |event: MessageEvent| match read(&event) {
                Ok(Message { id: 0, body: Reply::Failed { message } }) | Err(message) => crash(message),
                Ok(Message { id, body }) => deliver(&waiting, id, body),
            })
        };
        let on_error = Closure::<dyn FnMut(_)>::new(move |event: JsValue| {
            // A plain event, without a message, where the worker's script could not be loaded.
            let message = Reflect::get(&event, &"message".into()).ok().and_then(|message| message.as_string());
            crash(message.unwrap_or_else(|| "its script could not be loaded".into()));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let client = Self { worker, waiting, last_id: Cell::new(0), _on_message: on_message, _on_error: on_error };
        Ok((client, ready))
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

    /// Hands a folder to the worker, for requests that name it; paths are relative to it.
    pub fn hand(&self, name: &str, files: &[(String, File)]) {
        let pairs: Array = files.iter().map(|(path, file)| Array::of2(&path.into(), file)).collect();
        let message = Object::new();
        // Neither fails: the object is a plain one, and files can be cloned.
        let _ = Reflect::set(&message, &"folder".into(), &name.into());
        let _ = Reflect::set(&message, &"files".into(), &pairs);
        let _ = self.worker.post_message(&message);
    }

    fn send(&self, id: u64, body: Request) {
        let sent = serde_json::to_string(&Message { id, body })
            .map_err(|error| error.to_string())
            .and_then(|text| self.worker.post_message(&text.into()).map_err(|error| format!("{error:?}")));
        if let Err(message) = sent {
            deliver(&self.waiting, id, Reply::Failed { message });
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

fn read(event: &MessageEvent) -> Result<Message<Reply>, String> {
    let text = event.data().as_string().unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| format!("the worker sent what is no reply: {error}"))
}

fn deliver(waiting: &Waiting, id: u64, body: Reply) {
    let mut waiting = waiting.borrow_mut();
    let more = matches!(body, Reply::Progress(_) | Reply::Event(_) | Reply::Recovering { .. });
    let sender = if more { waiting.get(&id).cloned() } else { waiting.remove(&id) };
    if let Some(sender) = sender {
        // It fails where nobody listens any more.
        let _ = sender.unbounded_send(body);
    }
}
