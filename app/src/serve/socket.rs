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
use super::net::Link;

/// Longer messages end the connection.
const LONGEST: usize = 1 << 20;
/// How long a page waits for its turn: one that is loaded again comes before its former self is gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// A reader that takes nothing for so long is given up.
const SLOWEST: Duration = Duration::from_secs(30);
/// How often a page is asked whether it is there, and how long it may be silent.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(90);

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
        let mut socket = Socket(socket);
        let end = serve(&mut socket, &server, &link).await;
        socket.close(end).await;
    })
}

struct Socket(WebSocket);

/// Nobody reads any more.
struct Lost;

impl Socket {
    async fn send(&mut self, frame: Frame) -> Result<(), Lost> {
        match timeout(SLOWEST, self.0.send(frame)).await {
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
    let Ok(connected) = timeout(PATIENCE, server.0.engine.connect()).await else {
        let _ = socket.say(&failed(0, FailureKind::Other.with(BUSY))).await;
        return (close_code::AGAIN, "another page uses the engine");
    };
    // Nobody who only holds connections open ends this one.
    let _kept = link.keep();
    let Some((connection, mut replies)) = connected else { return (close_code::AWAY, "the server ends") };
    let version = env!("CARGO_PKG_VERSION").into();
    let mut sent = socket.say(&Message { id: 0, body: Reply::Ready { version } }).await;
    let mut ping = interval(PING);
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
            _ = ping.tick() => match heard.elapsed() < SILENCE {
                true => socket.send(Frame::Ping(Vec::new().into())).await,
                false => Err(Lost),
            },
        };
    }
    (close_code::NORMAL, "")
}
