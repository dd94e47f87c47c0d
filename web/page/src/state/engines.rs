//! Which engine writes: the browser's own, in a worker, or that of `understory serve`, where that serves the page.

use leptos::prelude::*;
use understory_protocol::AdapterReport;

use crate::connection::Place;
use crate::connection::server::ServerInfo;

#[derive(Clone, Copy)]
pub struct Engines {
    /// the one in use
    pub place: RwSignal<Place>,
    /// `None`: the page comes from another host, so there is nothing to choose
    pub info: RwSignal<Option<ServerInfo>>,
}

impl Engines {
    pub fn new() -> Self {
        Self { place: RwSignal::new(Place::Browser), info: RwSignal::new(None) }
    }

    pub fn is_native(self) -> bool {
        self.place.get() == Place::Native
    }

    /// The choice as people read it.
    pub fn label(self, place: Place) -> String {
        match place {
            Place::Browser => "This browser (WebGPU)".into(),
            Place::Native => {
                let backend = self.info.with(|info| info.as_ref().and_then(ServerInfo::backend));
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
