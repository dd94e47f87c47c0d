//! What `understory serve --lan` lets other devices do: open the page over HTTPS, measure there with their own engine,
//! and send the report here (`POST /reports`). Nothing else is served to them: no engine, no metrics, no reports.

mod identity;
mod limits;
mod pairing;
mod upload;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use self::identity::Identity;
use self::limits::Attempts;
use self::pairing::Code;
use self::upload::Inbox;
use super::guard::Names;
use super::net::{Deadlines, Door, Limits};
use super::page::{self, Page};
use crate::collection::{self, Collection};
use crate::output::Console;

/// A browser opens six connections.
const CONNECTIONS: Limits = Limits { in_all: 64, of_a_peer: 24 };

/// Listens, and is ready to serve.
pub struct Lan {
    listeners: Vec<TcpListener>,
    /// of this computer, the one that others most likely reach first
    addresses: Vec<IpAddr>,
    identity: Identity,
    code: Code,
    collection: Collection,
}

/// What the handlers share.
#[derive(Clone)]
struct Shared(Arc<Parts>);

struct Parts {
    page: Arc<Page>,
    names: Names,
    code: Code,
    inbox: Mutex<Inbox>,
    attempts: Mutex<Attempts>,
    /// those that are being received
    uploads: Semaphore,
    deadlines: Deadlines,
    console: Console,
}

/// How another device finds this one.
pub struct Invitation {
    /// with the pairing code; the first is the one to show
    pub urls: Vec<String>,
    pub fingerprint: String,
    pub certificate: String,
}

impl Lan {
    /// Listens on `address`, or on all; reports go to the collection in `db`, beside which the certificate is kept.
    ///
    /// # Errors
    /// Where there is no network, the port is taken, or something cannot be written.
    pub fn open(address: Option<IpAddr>, port: u16, db: Option<&Path>) -> Result<Self> {
        let addresses = address.map_or_else(own_addresses, |address| Ok(vec![address]))?;
        let listeners = listen(address, port)?;
        let place = collection::place(db)?;
        let collection = Collection::open(&place)?;
        let folder = place.parent().unwrap_or(Path::new(""));
        let identity = Identity::open(folder, &addresses)?;
        Ok(Self { listeners, addresses, identity, code: Code::new()?, collection })
    }

    /// # Errors
    /// Where the system does not tell the port.
    pub fn invitation(&self) -> Result<Invitation> {
        let port = self.listeners.first().context("nothing listens")?.local_addr()?.port();
        let urls = self.addresses.iter().map(|&ip| self.code.url(&SocketAddr::new(ip, port).to_string())).collect();
        let certificate = self.identity.file.display().to_string();
        Ok(Invitation { urls, fingerprint: self.identity.fingerprint()?, certificate })
    }

    /// Serves until the program ends.
    ///
    /// # Errors
    /// Where the runtime does not take the listeners.
    pub async fn serve(self, page: Arc<Page>, console: Console) -> Result<()> {
        let listeners = self.listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()?;
        let host = self.addresses.first().map(IpAddr::to_string).unwrap_or_default();
        let (deadlines, tls) = (Deadlines::default(), TlsAcceptor::from(Arc::clone(&self.identity.config)));
        let shared = Shared(Arc::new(Parts {
            page,
            names: Names::new(&host, true),
            code: self.code,
            inbox: Mutex::new(Inbox { collection: self.collection, seen: HashSet::new() }),
            attempts: Mutex::new(Attempts::new(Instant::now())),
            uploads: Semaphore::new(upload::AT_ONCE),
            deadlines,
            console,
        }));
        let router = Router::new()
            .route("/reports", post(upload::receive).fallback(nothing))
            .fallback(get(file).fallback(nothing))
            .layer(middleware::from_fn_with_state(shared.clone(), guard))
            .with_state(shared);
        Door::new(super::guarded(router), Some(tls), CONNECTIONS, deadlines).serve(listeners).await;
        Ok(())
    }
}

async fn guard(State(shared): State<Shared>, request: Request, next: middleware::Next) -> Response {
    match shared.0.names.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn file(State(shared): State<Shared>, request: Request) -> Response {
    page::answer(shared.0.page.find(request.uri().path()).await, request.headers())
}

async fn nothing(request: Request) -> Response {
    page::answer(None, request.headers())
}

/// On `address`, or on every one of both families, as far as the system has them.
fn listen(address: Option<IpAddr>, port: u16) -> Result<Vec<TcpListener>> {
    let bind = |ip: IpAddr, port| {
        let listener = TcpListener::bind((ip, port))?;
        listener.set_nonblocking(true)?;
        io::Result::Ok(listener)
    };
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "port {port} is in use, perhaps by another `understory serve --lan`; end that program, or choose another \
             port with --lan-port (0 takes a free one)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            let address = address.map(|ip| ip.to_string()).unwrap_or_default();
            anyhow!("--lan={address} is not an address of this computer")
        }
        _ => anyhow!("cannot listen on port {port} for other devices: {error}"),
    };
    if let Some(ip) = address {
        return Ok(vec![bind(ip, port).map_err(cannot)?]);
    }
    let mut listeners = Vec::new();
    listeners.extend(bind(Ipv6Addr::UNSPECIFIED.into(), port));
    let port = listeners.first().map_or(Ok(port), |first| first.local_addr().map(|address| address.port()))?;
    match bind(Ipv4Addr::UNSPECIFIED.into(), port) {
        Ok(listener) => listeners.push(listener),
        // On many systems the one of IPv6 takes both.
        Err(_) if !listeners.is_empty() => {}
        Err(error) => return Err(cannot(error)),
    }
    Ok(listeners)
}

/// Addresses of this computer that others may reach: those of IPv4, or where there is none, those of IPv6.
fn own_addresses() -> Result<Vec<IpAddr>> {
    let interfaces =
        if_addrs::get_if_addrs().context("cannot list this computer's addresses; give one: --lan=ADDRESS")?;
    let up = interfaces.into_iter().filter(|interface| interface.is_oper_up() || !interface.is_p2p());
    let mut found: Vec<IpAddr> = up.map(|interface| interface.ip()).filter(is_reachable).collect();
    let any_v4 = found.iter().any(IpAddr::is_ipv4);
    found.retain(|ip| ip.is_ipv4() == any_v4);
    let usual = usual_address(any_v4);
    found.sort_by_key(|&ip| (Some(ip) != usual, ip));
    found.dedup();
    if found.is_empty() {
        bail!("this computer has no address on a network; connect it to one, or give an address: --lan=ADDRESS");
    }
    Ok(found)
}

fn is_reachable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}

/// The one that goes out by the usual route. Nothing is sent: the addresses are for documentation (RFC 5737, RFC 3849).
fn usual_address(v4: bool) -> Option<IpAddr> {
    let (from, to) = if v4 { ("0.0.0.0:0", "192.0.2.1:9") } else { ("[::]:0", "[2001:db8::1]:9") };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Two lower-case digits a byte.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
