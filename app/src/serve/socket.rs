//! The WebSocket of one page: each text a `Message<Request>`, each answer a `Message<Reply>`, the first one
//! [`Reply::Ready`]. Another page that comes meanwhile is told so, and goes.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::{Error, Extension};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tungstenite::error::Error as Broken;
use understory_protocol::{FailureKind, Message, Reply};

use super::Server;
use super::engine::failed;
use super::net::{Deadlines, Link};

/// Longer messages end the connection.
const LONGEST: usize = 1 << 20;

const BUSY: &str = "Another page uses the engine of this server, which serves one at a time: close that page, then \
                    connect again.";

/// Why a connection ends: the code of RFC 6455, and words for who reads it.
type End = (u16, &'static str);

pub async fn upgrade(
    State(server): State<Server>,
    Extension(link): Extension<Link>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST);
    upgrade.on_upgrade(|socket| async move {
        let mut socket = Socket(socket, server.0.deadlines.reply);
        let end = serve(&mut socket, &server, &link).await;
        socket.close(end).await;
    })
}

/// With the time that its reader has for a message.
struct Socket(WebSocket, Duration);

/// Nobody reads any more.
struct Lost;

impl Socket {
    async fn send(&mut self, frame: Frame) -> Result<(), Lost> {
        match timeout(self.1, self.0.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Lost),
        }
    }

    async fn say(&mut self, message: &Message<Reply>) -> Result<(), Lost> {
        let text = serde_json::to_string(message).unwrap_or_else(|error| {
            // Replies serialise; what says that one did not holds words alone.
            let failed = failed(message.id, FailureKind::Protocol.with(error.to_string()));
            serde_json::to_string(&failed).unwrap_or_default()
        });
        self.send(Frame::Text(text.into())).await
    }

    /// The connection itself ends in good order once this is dropped: see [`net`](super::net).
    async fn close(mut self, (code, reason): End) {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = self.send(Frame::Close(Some(frame))).await;
    }
}

/// What was wrong with a message that nobody understands.
fn broken(error: Error) -> (String, End) {
    let end = match error.into_inner().downcast::<Broken>().map(|error| *error) {
        Ok(Broken::Capacity(_)) => {
            return (
                format!("a message is too long: expected at most {LONGEST} bytes"),
                (close_code::SIZE, "a message is too long"),
            );
        }
        Ok(Broken::Utf8(_)) => (close_code::INVALID, "a text is not UTF-8"),
        _ => (close_code::PROTOCOL, "a frame does not follow the protocol"),
    };
    (format!("not understood: {}", end.1), end)
}

/// Serves the page until it goes; what to close with.
async fn serve(socket: &mut Socket, server: &Server, link: &Link) -> End {
    let Deadlines { turn, ping, silence, .. } = server.0.deadlines;
    let Ok(connected) = timeout(turn, server.0.engine.connect()).await else {
        let _ = socket.say(&failed(0, FailureKind::Other.with(BUSY))).await;
        return (close_code::AGAIN, "another page uses the engine");
    };
    // Nobody who only holds connections open ends this one.
    let _kept = link.keep();
    let Some((connection, mut replies)) = connected else { return (close_code::AWAY, "the server ends") };
    let version = env!("CARGO_PKG_VERSION").into();
    let mut sent = socket.say(&Message { id: 0, body: Reply::Ready { version } }).await;
    let mut ping = interval(ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    while sent.is_ok() {
        sent = tokio::select! {
            frame = socket.0.recv() => {
                heard = Instant::now();
                let answer = match frame {
                    Some(Ok(Frame::Text(text))) => connection.take(&text),
                    Some(Ok(Frame::Binary(_))) => Some(failed(0, FailureKind::Protocol.with("a binary message: expected a JSON text"))),
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => None,
                    Some(Ok(Frame::Close(_))) | None => break,
                    Some(Err(error)) => {
                        let (words, end) = broken(error);
                        let _ = socket.say(&failed(0, FailureKind::Protocol.with(words))).await;
                        return end;
                    }
                };
                match answer {
                    Some(answer) => socket.say(&answer).await,
                    None => Ok(()),
                }
            }
            Some(reply) = replies.recv() => socket.say(&reply).await,
            _ = ping.tick() => match heard.elapsed() < silence {
                true => socket.send(Frame::Ping(Vec::new().into())).await,
                false => Err(Lost),
            },
        };
    }
    (close_code::NORMAL, "")
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tungstenite::Message as Sent;

    use super::*;
    use crate::output::Console;
    use crate::serve::net::tests::{listen, on_a_thread};
    use crate::serve::{EngineThread, ModelSources, Monitor, Names, Page};

    /// A hold of the engine that only an end of the connection ends fails this: no packet tells of a page whose computer was
    /// switched off. One that ends a page which only listens fails it too.
    #[test]
    fn a_page_that_is_not_there_any_more_loses_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "a page").unwrap();
        let (page, monitor) = (Arc::new(Page::folder(folder.path()).unwrap()), Arc::new(Monitor::new().unwrap()));
        let console = Console { quiet: true, process_start_ms: None };
        let engine = EngineThread::start(ModelSources { offline: true, console }, Arc::clone(&monitor)).unwrap();
        let ping = Duration::from_millis(50);
        let deadlines = Deadlines { turn: ping, ping, silence: 20 * ping, ..Deadlines::default() };
        let server = Server::with_deadlines(page, Names::new("127.0.0.1", false), engine, monitor, deadlines);
        let (address, listener) = listen();
        on_a_thread(async { server.serve(TcpListener::from_std(listener).unwrap()).await });

        let open = || {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut socket = tungstenite::client(format!("ws://{address}/engine"), stream).unwrap().0;
            let first = socket.read().unwrap();
            (socket, matches!(first, Sent::Text(text) if text.contains("ready")))
        };
        // It reads, and so it answers pings, for longer than it may be silent.
        let (mut listener, ready) = open();
        assert!(ready);
        for _ in 0..40 {
            assert!(matches!(listener.read(), Ok(Sent::Ping(_))));
        }
        assert!(!open().1, "it is there");
        // From here on it does not.
        let mut tries = 0;
        while !open().1 {
            tries += 1;
            assert!(tries < 200, "the engine is never free");
        }
    }
}
