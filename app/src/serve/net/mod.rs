//! Connections of both servers, the page's and the one for other devices: accepted without waiting for anybody, each in a
//! task of its own, with deadlines for every part and a limit of their number (see [`seats`]). Nobody blocks a server by
//! being slow.

mod deadlines;
mod peer;
mod seats;
mod stream;
#[cfg(test)]
pub mod tests;

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub use deadlines::Deadlines;
pub use peer::Peer;
pub use seats::Limits;
use seats::Seats;
use stream::{Seat, Stream, locked};

/// The longest head of a request, in bytes; browsers send a few hundred.
const LONGEST_HEAD: usize = 64 << 10;
/// After an error of `accept` that is not the newcomer's, as too many open files is.
const BREATH: Duration = Duration::from_millis(50);

/// Takes connections and answers their requests.
#[derive(Clone)]
pub struct Door {
    router: Router,
    tls: Option<TlsAcceptor>,
    seats: Arc<Mutex<Seats>>,
    deadlines: Deadlines,
}

/// A request's connection; an extension of every request.
#[derive(Clone)]
pub struct Link {
    /// as IPv4 where it is one
    pub address: IpAddr,
    id: u64,
    seats: Arc<Mutex<Seats>>,
}

/// While this lives, its connection is not ended for another.
pub struct Kept(Link);

impl Link {
    /// For a peer that has shown that it may be here.
    pub fn keep(&self) -> Kept {
        locked(&self.seats).keep(self.id, true);
        Kept(self.clone())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        locked(&self.0.seats).keep(self.0.id, false);
    }
}

impl Door {
    /// Plain, or with `tls`.
    pub fn new(router: Router, tls: Option<TlsAcceptor>, limits: Limits, deadlines: Deadlines) -> Self {
        Self { router, tls, seats: Arc::new(Mutex::new(Seats::new(limits))), deadlines }
    }

    /// Serves on all of `listeners` for as long as the runtime runs.
    pub async fn serve(self, listeners: Vec<TcpListener>) {
        for listener in listeners {
            tokio::spawn(self.clone().accept(listener));
        }
        pending().await
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.admit(stream, address),
                Err(_) => {
                    // With a file fewer the next one may be accepted; an error of the newcomer's own is rare.
                    locked(&self.seats).evict(None);
                    sleep(BREATH).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let address = address.ip().to_canonical();
        let Some((id, ends)) = locked(&self.seats).admit(Peer::of(address), Instant::now()) else { return };
        let seats = Arc::clone(&self.seats);
        let link = Link { address, id, seats: Arc::clone(&seats) };
        let stream = Stream::new(stream, Seat { id, seats, ends }, self.deadlines);
        let (router, tls, deadlines) = (self.router.clone(), self.tls.clone(), self.deadlines);
        tokio::spawn(async move {
            match tls {
                None => answer(stream, link, router, deadlines).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(deadlines.handshake, tls.accept(stream)).await {
                        answer(stream, link, router, deadlines).await;
                    }
                }
            }
        });
    }
}

/// Answers the requests of one connection, until it ends or becomes a WebSocket.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    link: Link,
    router: Router,
    deadlines: Deadlines,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(link.clone());
        router.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(deadlines.head).max_buf_size(LONGEST_HEAD);
    // An error is the peer's: nobody here wants to hear of it.
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
