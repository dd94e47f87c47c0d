//! Which engine writes: the browser's own, in a worker, or that of `understory serve`, where that serves the page.

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use understory_protocol::AdapterReport;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::session::Session;
use crate::{storage, support};

/// Beside the page, where `understory serve` serves it; on other hosts there is no such thing.
const INFO: &str = "./engine/info";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Browser,
    Native,
}

/// What `understory serve` says of itself; no more is read than what other versions say too.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Info {
    version: String,
    #[serde(default)]
    adapters: Vec<Adapter>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Adapter {
    backend: String,
    preferred: bool,
}

#[derive(Clone, Copy)]
pub struct Engines {
    /// the one in use
    pub place: RwSignal<Place>,
    /// `None`: the page comes from another host, so there is nothing to choose
    pub info: RwSignal<Option<Info>>,
}

impl Place {
    /// As it is kept.
    pub fn id(self) -> &'static str {
        match self {
            Place::Browser => "browser",
            Place::Native => "native",
        }
    }

    pub fn from_id(id: &str) -> Option<Self> {
        [Place::Browser, Place::Native].into_iter().find(|place| place.id() == id)
    }
}

impl Engines {
    pub fn new() -> Self {
        Self { place: RwSignal::new(Place::Browser), info: RwSignal::new(None) }
    }

    /// Looks which engines there are and starts the one that was chosen last. The browser's, the usual one, starts
    /// without waiting for the answer, if this browser can run it.
    pub fn begin(self, session: Session) {
        let kept = storage::engine().and_then(|id| Place::from_id(&id));
        let at_once = kept != Some(Place::Native) && support::missing().is_none();
        if at_once {
            session.start();
        }
        spawn_local(async move {
            let info = ask().await;
            let native = info.is_some() && kept != Some(Place::Browser);
            self.info.set(info);
            if !at_once {
                self.place.set(if native { Place::Native } else { Place::Browser });
                session.start();
            }
        });
    }

    /// Uses the engine at `place`, now and on the next visit.
    pub fn choose(self, place: Place, session: Session) {
        storage::keep_engine(place.id());
        self.place.set(place);
        session.start();
    }

    pub fn is_native(self) -> bool {
        self.place.get() == Place::Native
    }

    /// The choice as people read it.
    pub fn label(self, place: Place) -> String {
        match place {
            Place::Browser => "This browser (WebGPU)".into(),
            Place::Native => {
                let backend = self.info.with(|info| info.as_ref().and_then(Info::backend));
                format!("{} (native: {})", computer(true), backend.unwrap_or("Vulkan, Metal, DX12"))
            }
        }
    }

    /// The engine in use, for a line beside its figures.
    pub fn used(self, adapter: Option<&AdapterReport>) -> String {
        let engine = match self.place.get_untracked() {
            Place::Browser => "this browser (WebGPU)".into(),
            Place::Native => format!("{} (native)", computer(false)),
        };
        match adapter.filter(|adapter| !adapter.name.is_empty()) {
            Some(AdapterReport { name, backend, .. }) => format!("{engine}, {name}, {backend}"),
            None => engine,
        }
    }

    /// What to know where page and server are of different builds.
    pub fn mismatch(self) -> Option<String> {
        let version = self.info.with(|info| info.as_ref().map(|info| info.version.clone()))?;
        let own = env!("CARGO_PKG_VERSION");
        (version != own).then(|| {
            format!(
                "This page is of version {own}, understory serve of version {version}: its engine may not understand \
                 the page. Load the page again; if it stays so, build both from one version."
            )
        })
    }

    /// Where prompts and texts are, for the foot of the page.
    pub fn promise(self) -> String {
        match (self.place.get(), is_here()) {
            (Place::Browser, _) => "The models run on this device, in this tab; prompts and texts stay here.".into(),
            (Place::Native, true) => {
                "The models run on this computer, in understory serve; prompts and texts stay here.".into()
            }
            (Place::Native, false) => {
                let host = location().hostname().unwrap_or_default();
                format!("The models run on {host}, in understory serve: prompts go there, texts come from there.")
            }
        }
    }
}

impl Info {
    /// Of the adapter that is used.
    fn backend(&self) -> Option<&'static str> {
        let used = self.adapters.iter().find(|adapter| adapter.preferred)?;
        match used.backend.as_str() {
            "vulkan" => Some("Vulkan"),
            "metal" => Some("Metal"),
            "dx12" => Some("DX12"),
            _ => None,
        }
    }
}

/// The computer of `understory serve`, which another may have opened.
fn computer(first: bool) -> &'static str {
    match (is_here(), first) {
        (true, true) => "This computer",
        (true, false) => "this computer",
        (false, true) => "The serving computer",
        (false, false) => "the serving computer",
    }
}

/// Whether the page comes from this computer.
fn is_here() -> bool {
    let host = location().hostname().unwrap_or_default();
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// `None` on any host but `understory serve`, whatever it answers.
async fn ask() -> Option<Info> {
    let response: Response = JsFuture::from(window().fetch_with_str(INFO)).await.ok()?.unchecked_into();
    let text = JsFuture::from(response.ok().then(|| response.text().ok())??).await.ok()?.as_string()?;
    serde_json::from_str(&text).ok()
}
