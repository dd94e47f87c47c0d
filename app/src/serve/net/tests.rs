//! Both kinds of servers on loopback, with deadlines of a few hundred milliseconds.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::runtime::Builder;

use super::*;

/// Longer than any answer takes; a server that does not answer fails the test.
const PATIENCE: Duration = Duration::from_secs(20);
const LIMITS: Limits = Limits { in_all: 8, of_a_peer: 8 };
const MIB: usize = 1 << 20;

fn short() -> Deadlines {
    let soon = Duration::from_millis(200);
    Deadlines { handshake: soon, head: soon, still: 4 * soon, ..Deadlines::default() }
}

struct Server {
    address: SocketAddr,
}

impl Server {
    /// On a thread of its own, which ends with the tests.
    fn start(router: Router, tls: Option<TlsAcceptor>, deadlines: Deadlines) -> Self {
        let (address, listener) = listen();
        on_a_thread(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            Door::new(router, tls, LIMITS, deadlines).serve(vec![listener]).await;
        });
        Self { address }
    }

    fn plain(deadlines: Deadlines) -> Self {
        let big = || async { Bytes::from(vec![b'x'; 64 * MIB]) };
        let router = Router::new()
            .route("/", get(|| async { "a page" }))
            .route("/big", get(big))
            .route("/body", post(|body: Bytes| async move { body.len().to_string() }));
        Self::start(router, None, deadlines)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What `GET /` brings.
    fn get(&self) -> String {
        let mut stream = self.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

pub fn listen() -> (SocketAddr, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    (listener.local_addr().unwrap(), listener)
}

pub fn on_a_thread(serves: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(serves));
}

/// Whether the server ends the connection; one that waits for ever fails the test.
fn ends(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

/// Whether `stream` ends although `piece` is written to it again and again.
fn ends_while_fed(stream: &mut TcpStream, piece: &[u8]) -> bool {
    let start = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while start.elapsed() < PATIENCE {
        if stream.write_all(piece).is_err() || ends(stream) {
            return true;
        }
    }
    false
}

/// A deadline that every byte sets anew fails the second, and one for the first request alone the third.
#[test]
fn a_head_that_does_not_come_ends_its_connection() {
    let server = Server::plain(short());
    assert!(ends(&mut server.connect()));

    let mut slow = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    assert!(ends_while_fed(&mut slow, b"x"));

    let mut again = server.connect();
    again.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(ends(&mut again));
    assert!(server.get().ends_with("a page"));
}

#[test]
fn a_handshake_that_does_not_come_ends_its_connection() {
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_cert_resolver(Arc::new(tokio_rustls::rustls::server::ResolvesServerCertUsingSni::new()));
    let tls = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(Router::new(), Some(tls), short());
    assert!(ends(&mut server.connect()));
    // The head of a record of 512 bytes, which come one by one.
    let mut slow = server.connect();
    slow.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).unwrap();
    assert!(ends_while_fed(&mut slow, &[0]));
}

/// A limit on reading alone fails this: here it is the client who does not read.
#[test]
fn an_answer_that_nobody_reads_ends_its_connection() {
    let server = Server::plain(short());
    let mut silent = server.connect();
    silent.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(4 * short().still);
    let mut read = Vec::new();
    let _ = silent.read_to_end(&mut read);
    assert!(read.len() < 64 * MIB, "{} bytes", read.len());
}

/// An accept loop that waits for a free place fails this: everyone else would wait for the deadlines of the silent ones.
#[test]
fn those_who_hold_connections_open_keep_nobody_out() {
    let slow = Deadlines { head: 6 * PATIENCE, still: 6 * PATIENCE, ..Deadlines::default() };
    let server = Server::plain(slow);
    let mut silent: Vec<TcpStream> = (0..10 * LIMITS.in_all).map(|_| server.connect()).collect();
    for _ in 0..3 {
        assert!(server.get().ends_with("a page"));
    }
    // The first to come has gone for them.
    assert!(ends(&mut silent[0]));
}

/// One that closes at once fails this where the kernel's buffers are full: the reset takes the answer with it.
#[test]
fn who_still_sends_gets_the_answer_that_ends_it() {
    let server = Server::plain(Deadlines::default());
    let mut stream = server.connect();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 24 * MIB);
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..24 {
        stream.write_all(&vec![b'x'; MIB]).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn a_head_without_end_is_refused() {
    let server = Server::plain(Deadlines::default());
    let mut stream = server.connect();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nX: ").and_then(|()| stream.write_all(&vec![b'x'; 2 * LONGEST_HEAD]));
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
