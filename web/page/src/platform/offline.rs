//! The service worker (`web/static/sw.js`) that keeps the page's own files, and the change to a new version of them.
//! Where there is none (plain HTTP, some private windows), the page is as it was.

use std::time::Duration;

use futures_channel::oneshot;
use js_sys::Reflect;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{CacheStorage, ServiceWorker, ServiceWorkerContainer, ServiceWorkerRegistration, ServiceWorkerState};

const SCRIPT: &str = "./sw.js";
/// A service worker whose installation takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
pub struct Offline {
    /// a version that is complete and waits to be asked for
    pub waiting: RwSignal<Option<ServiceWorker>, LocalStorage>,
    registered: StoredValue<bool>,
}

impl Offline {
    pub fn new() -> Self {
        Self { waiting: RwSignal::new_local(None), registered: StoredValue::new(false) }
    }

    /// Registers the service worker, which then fetches the page's files. Not before the engine is ready, so that both
    /// do not share the connection.
    pub async fn register(self) {
        let Some(container) = container().filter(|_| !self.registered.get_value()) else { return };
        self.registered.set_value(true);
        let Ok(registration) = JsFuture::from(container.register(SCRIPT)).await else { return };
        self.watch(container, registration.unchecked_into());
    }

    /// Until the next load of the page comes from the service worker, if there is one.
    pub async fn installed(self) {
        self.register().await;
        let Some(container) = container() else { return };
        let Ok(ready) = container.ready() else { return };
        let (done, wait) = oneshot::channel();
        // It never settles where the installation fails.
        leptos::task::spawn_local(async move {
            let _ = JsFuture::from(ready).await;
            let _ = done.send(());
        });
        let (late, timeout) = oneshot::channel();
        set_timeout(
            move || {
                let _ = late.send(());
            },
            PATIENCE,
        );
        first_of(wait, timeout).await;
    }

    /// Starts the version that waits; the page loads again with it.
    pub fn accept(self) {
        if let Some(worker) = self.waiting.get_untracked() {
            // It fails where the version is gone, with the notice's reason.
            let _ = worker.post_message(&"activate".into());
            self.waiting.set(None);
        }
    }

    fn watch(self, container: ServiceWorkerContainer, registration: ServiceWorkerRegistration) {
        // Every tab: one that went on with the files of two versions could start a worker that it does not understand.
        let had_controller = container.controller().is_some();
        listen(&container, "controllerchange", move || {
            if had_controller {
                let _ = window().location().reload();
            }
        });
        if had_controller {
            self.waiting.set(registration.waiting());
        }
        let found = registration.clone();
        listen(&registration, "updatefound", move || {
            let Some(worker) = found.installing() else { return };
            let (installing, container) = (worker.clone(), container.clone());
            listen(&worker, "statechange", move || {
                // Without a controller it is the first version, and nobody waits for it.
                if installing.state() == ServiceWorkerState::Installed && container.controller().is_some() {
                    self.waiting.set(Some(installing.clone()));
                }
            });
        });
    }
}

/// Whether this page was served by the service worker.
pub fn serves_this_page() -> bool {
    container().is_some_and(|container| container.controller().is_some())
}

/// Takes the service worker away, and the files that it kept.
///
/// # Errors
/// What the browser says.
pub async fn forget() -> Result<(), JsValue> {
    if let Some(container) = container() {
        let registration = JsFuture::from(container.get_registration()).await?;
        if let Ok(registration) = registration.dyn_into::<ServiceWorkerRegistration>() {
            JsFuture::from(registration.unregister()?).await?;
        }
    }
    let Ok(caches) = window().caches() else { return Ok(()) };
    let caches: CacheStorage = caches;
    // As `sw.js` names them.
    let base = document().base_uri()?.unwrap_or_default();
    let path = web_sys::Url::new_with_base("./", &base)?.pathname();
    let names: js_sys::Array = JsFuture::from(caches.keys()).await?.unchecked_into();
    for name in names.iter().filter_map(|name| name.as_string()) {
        if name.starts_with(&format!("understory {path} ")) {
            JsFuture::from(caches.delete(&name)).await?;
        }
    }
    Ok(())
}

/// `None` where pages have no service workers.
fn container() -> Option<ServiceWorkerContainer> {
    let navigator = window().navigator();
    let there = Reflect::get(&navigator, &"serviceWorker".into()).is_ok_and(|it| !it.is_undefined());
    there.then(|| navigator.service_worker())
}

/// For as long as the page lives.
fn listen(target: &web_sys::EventTarget, event: &str, heard: impl FnMut() + 'static) {
    let heard = Closure::<dyn FnMut()>::new(heard);
    let _ = target.add_event_listener_with_callback(event, heard.as_ref().unchecked_ref());
    heard.forget();
}

async fn first_of(one: oneshot::Receiver<()>, other: oneshot::Receiver<()>) {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context).is_ready() || other.as_mut().poll(context).is_ready() {
        true => std::task::Poll::Ready(()),
        false => std::task::Poll::Pending,
    })
    .await;
}
