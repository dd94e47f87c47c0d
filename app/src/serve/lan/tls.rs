//! Connections of the network, as axum takes them: handshakes made beside each other, so that a slow one keeps nobody
//! waiting, so many connections at once and no more, and an end to those on which nothing moves.

use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// Connections at once; a browser opens six.
const MOST_CONNECTIONS: usize = 64;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection ends on which nothing was read or written for so long.
const IDLE: Duration = Duration::from_secs(60);

pub struct Tls {
    accepted: mpsc::Receiver<(Stream, Peer)>,
    address: SocketAddr,
}

/// The address at the other end; as IPv4 where it is one.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

impl Tls {
    /// Begins to accept on `listeners`, of which the first gives the address.
    pub fn new(listeners: Vec<TcpListener>, config: Arc<ServerConfig>) -> io::Result<Self> {
        let address = listeners.first().ok_or(io::ErrorKind::InvalidInput)?.local_addr()?;
        let (sender, accepted) = mpsc::channel(1);
        let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        for listener in listeners {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            tokio::spawn(accept(listener, acceptor, Arc::clone(&connections), sender.clone()));
        }
        Ok(Self { accepted, address })
    }
}

impl Listener for Tls {
    type Io = Stream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Stream, Peer) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer(self.address.ip()))
    }
}

impl Connected<IncomingStream<'_, Tls>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Tls>) -> Self {
        *stream.remote_addr()
    }
}

async fn accept(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: Arc<Semaphore>,
    sender: mpsc::Sender<(Stream, Peer)>,
) {
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        let (stream, peer) = Listener::accept(&mut listener).await;
        let (handshake, sender) = (acceptor.accept(stream), sender.clone());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, handshake).await {
                let idle = Box::pin(sleep(IDLE));
                let stream = Stream { stream: Box::pin(stream), idle, _permit: permit };
                let _ = sender.send((stream, Peer(peer.ip().to_canonical()))).await;
            }
        });
    }
}

pub struct Stream {
    stream: Pin<Box<TlsStream<TcpStream>>>,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    /// Something was read or written, or else nothing moved for too long.
    fn moved<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
        }
        self.waited(cx, progress)
    }

    fn waited<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            return progress;
        }
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.stream.as_mut().poll_read(cx, buffer);
        self.moved(cx, read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream.as_mut().poll_write(cx, bytes);
        self.moved(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.as_mut().poll_flush(cx);
        self.waited(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.stream.as_mut().poll_shutdown(cx);
        self.waited(cx, shut)
    }
}
