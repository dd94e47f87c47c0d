//! What `understory serve` answers: the page's files, what engine there is (`engine/info`), and the engine itself behind
//! a WebSocket (`engine`), which speaks `understory_protocol` as the page's worker does, and what that measured
//! (`metrics`). It hands out nothing to other sites: see [`mod@guard`]. What other devices get is in [`lan`] alone.

mod bench;
mod engine;
mod guard;
mod lan;
mod models;
mod monitor;
mod net;
mod page;
mod socket;
mod words;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Router, middleware};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tower_http::set_header::SetResponseHeaderLayer;
use understory_protocol::AdapterReport;
use understory_runtime::gpu::list_adapters;

use net::{Deadlines, Door, Limits};

pub use engine::EngineThread;
pub use guard::Names;
pub use lan::Lan;
pub use models::ModelSources;
pub use monitor::Monitor;
pub use page::Page;

/// On every answer: no other site may embed, open or read what is served here, and the page may use what browsers keep
/// for isolated pages (fine timers).
const HEADERS: [(HeaderName, &str); 5] = [
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// All pages of this computer are one peer.
const CONNECTIONS: Limits = Limits { in_all: 128, of_a_peer: 64 };

/// What the handlers share.
#[derive(Clone)]
pub struct Server(Arc<Parts>);

struct Parts {
    page: Arc<Page>,
    names: Names,
    engine: EngineThread,
    monitor: Arc<Monitor>,
    adapters: OnceCell<Vec<AdapterReport>>,
    deadlines: Deadlines,
}

/// What `engine/info` says.
#[derive(Serialize)]
struct Info<'a> {
    version: &'static str,
    adapters: &'a [AdapterReport],
}

impl Server {
    pub fn new(page: Arc<Page>, names: Names, engine: EngineThread, monitor: Arc<Monitor>) -> Self {
        Self::with_deadlines(page, names, engine, monitor, Deadlines::default())
    }

    fn with_deadlines(
        page: Arc<Page>,
        names: Names,
        engine: EngineThread,
        monitor: Arc<Monitor>,
        deadlines: Deadlines,
    ) -> Self {
        Self(Arc::new(Parts { page, names, engine, monitor, adapters: OnceCell::new(), deadlines }))
    }

    /// Serves for as long as the runtime runs.
    pub async fn serve(self, listener: TcpListener) {
        let deadlines = self.0.deadlines;
        Door::new(self.router(), None, CONNECTIONS, deadlines).serve(vec![listener]).await;
    }

    fn router(self) -> Router {
        let router = Router::new()
            .route("/engine", any(socket::upgrade))
            .route("/engine/info", get(info))
            .route("/metrics", get(metrics))
            .fallback(get(file))
            .layer(middleware::from_fn_with_state(self.clone(), guard))
            .with_state(self);
        guarded(router)
    }

    /// Ends what the engine does.
    pub fn end(&self) {
        self.0.engine.end();
    }
}

fn guarded(router: Router) -> Router {
    HEADERS.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}

async fn guard(State(server): State<Server>, request: Request, next: middleware::Next) -> Response {
    match server.0.names.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn info(State(server): State<Server>) -> Response {
    // Drivers are asked once; that waits for them, so not on the thread that serves.
    let list =
        || async { tokio::task::spawn_blocking(|| pollster::block_on(list_adapters())).await.unwrap_or_default() };
    let adapters = server.0.adapters.get_or_init(list).await;
    match serde_json::to_string(&Info { version: env!("CARGO_PKG_VERSION"), adapters }) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What the engine measured, in Prometheus' text format.
async fn metrics(State(server): State<Server>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], server.0.monitor.text()).into_response()
}

async fn file(State(server): State<Server>, request: Request) -> Response {
    page::answer(server.0.page.find(request.uri().path()).await, request.headers())
}
