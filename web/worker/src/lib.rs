//! The engine in a dedicated worker of the page: requests come as messages and replies go as messages, each a JSON
//! text of `understory_protocol`; only folders come as objects (`sources::folders`). Nothing here waits without
//! yielding to the worker's event loop.
#![cfg(target_family = "wasm")]

mod bench;
mod files;
mod http;
mod idle;
mod js;
mod learning;
mod pressure;
mod sources;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use understory_lab::report_loader;
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_protocol::{Failure, FailureKind, LoadRequest, Message, Reply, Request};
use understory_runtime::{LoadContext, gpu};
use understory_session::Session;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use bench::Tab;
use learning::Learning;
use sources::folders::Folders;
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

/// What comes in beside requests.
struct Known {
    stopped: Stopped,
    tab: Tab,
    folders: Folders,
}

/// What the session does next.
enum Work {
    Request(Message<Request>),
    /// Nobody has asked for anything for a while, since this many requests were handled.
    Idle(usize),
}

fn post(id: u64, body: Reply) {
    let text = serde_json::to_string(&Message { id, body }).expect("replies serialise");
    // It fails where the worker is being closed: nobody listens any more.
    let _ = scope().post_message(&text.into());
}

#[wasm_bindgen(start)]
fn start() {
    // A panic ends the module: the page hears of it once and starts another worker.
    std::panic::set_hook(Box::new(|panic| {
        post(0, Reply::Failed(FailureKind::Crashed.with(format!("the engine failed: {panic}"))))
    }));
    let (requests, queue) = unbounded();
    let idle = requests.clone();
    let session = Session::default();
    let (device, predictor) = (session.device(), session.predictor());
    let stopped = Stopped::default();
    let stops = stopped.clone();
    let tab = Tab::default();
    let told = tab.clone();
    let folders = Folders::default();
    let handed = folders.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        if handed.take(&event.data()).is_some() {
            return;
        }
        let text = event.data().as_string().unwrap_or_default();
        match serde_json::from_str::<Message<Request>>(&text) {
            Ok(Message { body: Request::Stop { id }, .. }) => {
                stops.borrow_mut().insert(id);
            }
            Ok(Message { body: Request::VisibilityChanged { hidden }, .. }) => told.is_hidden(hidden),
            Ok(Message { body: Request::DestroyDevice, .. }) => device.destroy(),
            // Arithmetic alone: it does not wait for a model that is being loaded.
            Ok(Message { id, body: Request::Predict(request) }) => {
                let said = predictor.answer(&request).map(|reply| Reply::Predicted(Box::new(reply)));
                post(id, said.unwrap_or_else(|error| Reply::Failed((&error).into())));
            }
            // The queue lives as long as the worker.
            Ok(message) => drop(requests.unbounded_send(Work::Request(message))),
            Err(error) => {
                post(0, Reply::Failed(FailureKind::Protocol.with(format!("a message that is no request: {error}"))))
            }
        }
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    spawn_local(serve(session, queue, idle, Known { stopped, tab, folders }));
    INSTANTIATED_MS.set(now_ms());
    post(0, Reply::Ready { version: env!("CARGO_PKG_VERSION").into() });
}

/// Handles requests one after the other for as long as the worker lives; between them, kernels that were put off are
/// compiled, and what is asked for in the background is done, a step at a time.
async fn serve(mut session: Session, mut queue: UnboundedReceiver<Work>, idle: UnboundedSender<Work>, known: Known) {
    let mut handled = 0;
    let mut learning = Learning::default();
    while let Ok(work) = queue.recv().await {
        match work {
            Work::Request(Message { id, body }) => {
                if let Request::Load(_) | Request::Calibrate { .. } = body {
                    learning.leave();
                }
                if let Request::Calibrate { cached, in_background: true } = body {
                    learning.begin(id, &mut session, cached);
                } else {
                    let reply = handle(&mut session, id, body, &known).await;
                    post(id, reply.unwrap_or_else(Reply::Failed));
                }
                known.stopped.borrow_mut().remove(&id);
                handled += 1;
                idle::after(idle::PAUSE_MS, &idle, Work::Idle(handled));
            }
            // What is wrong with a kernel is said by the request that needs it.
            Work::Idle(since) if since == handled && learning.go_on(&mut session).await => {
                idle::after(0, &idle, Work::Idle(handled));
            }
            Work::Idle(_) => {}
        }
    }
}

async fn handle(
    session: &mut Session,
    id: u64,
    request: Request,
    Known { stopped, tab, folders }: &Known,
) -> Result<Reply, Failure> {
    let mut emit = |reply| post(id, reply);
    let ends = || stopped.borrow().contains(&id);
    match request {
        Request::Devices => Ok(Reply::Devices { adapters: gpu::list_adapters().await }),
        Request::Load(request) => load(session, request, folders, &mut emit).await,
        Request::Calibrate { cached, in_background: _ } => Ok(Reply::Costs(session.calibrate(cached).await?)),
        Request::Generate(request) => {
            let generation = session.generate(&request, &ends, &mut emit).await?;
            Ok(Reply::Generated(Box::new(generation)))
        }
        Request::Bench(request) => bench::bench(session, &request, tab, &ends, &mut emit).await,
        Request::Compare { reports, own } => Ok(Reply::Compared(report_loader::look(&reports, own.as_deref()))),
        Request::Models => models(None).await.map_err(|message| FailureKind::Other.with(message)),
        Request::Forget { model } => models(Some(&model)).await.map_err(|message| FailureKind::Other.with(message)),
        Request::Predict(_) | Request::Stop { .. } | Request::VisibilityChanged { .. } | Request::DestroyDevice => {
            unreachable!("never queued")
        }
    }
}

/// What is kept, after `forgotten` is deleted.
async fn models(forgotten: Option<&str>) -> Result<Reply, String> {
    let store = Store::open().await?;
    if let Some(model) = forgotten {
        store.forget(model).await?;
    }
    store.models().await
}

async fn load(
    session: &mut Session,
    request: LoadRequest,
    folders: &Folders,
    emit: &mut dyn FnMut(Reply),
) -> Result<Reply, Failure> {
    let mut begun = LoadContext::open(request.adapter).await?;
    let mut on_config = |config: &ModelConfig| begun.compile_for(config, &request.options());
    let found = sources::find(&request, folders, &mut on_config, emit)
        .await
        .map_err(|message| FailureKind::Download.with(message))?;
    let draft = found.draft.map(|files| Box::new(files) as Box<dyn ModelFiles>);
    let mut loaded = session.load(begun, request, Box::new(found.target), draft, emit).await?;
    let (fetch, hash) = (found.phases.fetch, found.phases.hash);
    for phases in [Some(&mut loaded.phases_ms), session.phases_mut()].into_iter().flatten() {
        (phases.instantiate, phases.fetch, phases.hash) = (INSTANTIATED_MS.get(), fetch, hash);
    }
    Ok(Reply::Loaded(Box::new(loaded)))
}
