//! The engine in a dedicated worker of the page: requests come as messages and replies go as messages, each a JSON
//! text of `understory_engine::protocol`. Nothing here waits without yielding to the worker's event loop.
#![cfg(target_family = "wasm")]

mod files;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use understory_engine::model::files::ModelFiles;
use understory_engine::protocol::{LoadRequest, Message, ModelSource, Reply, Request};
use understory_engine::session::Session;
use understory_engine::{Progress, gpu};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use files::BlobFiles;
use store::Store;

/// Ids of generations that are to end.
type Stopped = Rc<RefCell<HashSet<u64>>>;

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

thread_local! {
    /// What the module took from the worker's beginning on: fetched, compiled, started.
    static INSTANTIATED_MS: Cell<Option<f64>> = const { Cell::new(None) };
}

/// Milliseconds since the worker began.
fn now_ms() -> Option<f64> {
    Some(scope().performance()?.now())
}

fn post(id: u64, body: Reply) {
    let text = serde_json::to_string(&Message { id, body }).expect("replies serialise");
    // It fails where the worker is being closed: nobody listens any more.
    let _ = scope().post_message(&text.into());
}

#[wasm_bindgen(start)]
fn start() {
    // A panic ends the module: the page hears of it once and starts another worker.
    std::panic::set_hook(Box::new(|panic| post(0, Reply::Failed { message: format!("the engine failed: {panic}") })));
    let (requests, queue) = unbounded();
    let session = Session::default();
    let device = session.device();
    let stopped = Stopped::default();
    let stops = stopped.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let text = event.data().as_string().unwrap_or_default();
        match serde_json::from_str::<Message<Request>>(&text) {
            Ok(Message { body: Request::Stop { id }, .. }) => {
                stops.borrow_mut().insert(id);
            }
            Ok(Message { body: Request::DestroyDevice, .. }) => device.destroy(),
            // The queue lives as long as the worker.
            Ok(message) => drop(requests.unbounded_send(message)),
            Err(error) => post(0, Reply::Failed { message: format!("a message that is no request: {error}") }),
        }
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    spawn_local(serve(session, queue, stopped));
    INSTANTIATED_MS.set(now_ms());
    post(0, Reply::Ready { version: env!("CARGO_PKG_VERSION").into() });
}

/// Handles requests one after the other for as long as the worker lives.
async fn serve(mut session: Session, mut queue: UnboundedReceiver<Message<Request>>, stopped: Stopped) {
    while let Ok(Message { id, body }) = queue.recv().await {
        let reply = handle(&mut session, id, body, &stopped).await;
        stopped.borrow_mut().remove(&id);
        post(id, reply.unwrap_or_else(|message| Reply::Failed { message }));
    }
}

async fn handle(session: &mut Session, id: u64, request: Request, stopped: &Stopped) -> Result<Reply, String> {
    let text = |error: understory_engine::Error| error.to_string();
    let mut emit = |reply| post(id, reply);
    match request {
        Request::Devices => Ok(Reply::Devices { adapters: gpu::list_adapters().await }),
        Request::Load(request) => load(session, request, &mut emit).await,
        Request::Calibrate { cached } => session.calibrate(cached).await.map(Reply::Costs).map_err(text),
        Request::Generate(request) => {
            let ends = || stopped.borrow().contains(&id);
            let generation = session.generate(&request, &ends, &mut emit).await.map_err(text)?;
            Ok(Reply::Generated(Box::new(generation)))
        }
        Request::Stop { .. } | Request::DestroyDevice => unreachable!("never queued"),
    }
}

async fn load(session: &mut Session, request: LoadRequest, emit: &mut dyn FnMut(Reply)) -> Result<Reply, String> {
    let begun_ms = now_ms();
    let store = Store::open().await?;
    let mut fetching = |done_bytes, total_bytes| emit(Reply::Progress(Progress::Fetch { done_bytes, total_bytes }));
    let target = files(&request.target, &store, &mut fetching).await?;
    let draft = match &request.draft {
        Some(source) => Some(files(source, &store, &mut fetching).await?),
        None => None,
    };
    let fetch_ms = now_ms().zip(begun_ms).map(|(now, begun)| now - begun);
    let draft = draft.map(|files| Box::new(files) as Box<dyn ModelFiles>);
    let mut loaded = session.load(request, Box::new(target), draft, emit).await.map_err(|error| error.to_string())?;
    loaded.phases_ms.instantiate = INSTANTIATED_MS.get();
    loaded.phases_ms.fetch = loaded.phases_ms.fetch.or(fetch_ms);
    Ok(Reply::Loaded(Box::new(loaded)))
}

async fn files(
    source: &ModelSource,
    store: &Store,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<BlobFiles, String> {
    match source {
        ModelSource::Bundled { name } => BlobFiles::bundled(name, store, on_progress).await,
        ModelSource::Hub { .. } | ModelSource::Folder { .. } => Err("only the bundled models load here so far".into()),
    }
}
