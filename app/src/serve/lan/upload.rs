//! `POST /reports`: a report from another device, with the pairing code. Whatever is wrong with it, nothing is stored
//! then, and the answer says in words what it was.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::{sleep, timeout};
use understory_lab::report::read;
use understory_protocol::foreign::shown;

use super::Shared;
use crate::collection::{Added, Collection, check_id, digest};
use crate::exit::chain;
use crate::serve::net::{Deadlines, Link, Peer};
use crate::serve::words;

/// A report of `quick` has 80 KB; this is a hundred times that. With [`AT_ONCE`] it bounds the memory that the network
/// can take.
const MOST_BYTES: usize = 8 << 20;
/// Uploads that are received at one time.
pub const AT_ONCE: usize = 4;

/// The collection, and what this run of the program has seen of the network.
pub struct Inbox {
    pub collection: Collection,
    /// run ids and digests: what came once does not come again, even if it was deleted since
    pub seen: HashSet<String>,
}

/// Why a report was not taken.
struct Refusal {
    status: StatusCode,
    words: String,
    retry_after: Option<Duration>,
}

/// What was taken.
struct Taken {
    run_id: String,
    device: String,
    scenario: String,
}

pub async fn receive(State(shared): State<Shared>, Extension(link): Extension<Link>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let (console, peer) = (shared.0.console, link.address);
    match take(&shared, &link, &parts.headers, &mut body).await {
        Ok(Taken { run_id, device, scenario }) => {
            let (what, kept) = (shown(&scenario), shown(&run_id));
            console.note(&format!("A report came from {peer}: {what} on {}, kept as {kept}", shown(&device)));
            let body = json!({ "run_id": run_id }).to_string();
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(refusal) => {
            // Who asks too often does not fill the terminal with it.
            if refusal.retry_after.is_none() {
                console.note(&format!("A report from {peer} was refused: {}", shown(&refusal.words)));
            }
            refusal.into_response()
        }
    }
}

async fn take(shared: &Shared, link: &Link, headers: &HeaderMap, body: &mut Body) -> Result<Taken, Refusal> {
    admit(shared, Peer::of(link.address), headers).await?;
    let _turn = shared.0.uploads.try_acquire().map_err(|_| {
        let words = format!("{AT_ONCE} reports are on their way already; send this one again in a moment");
        Refusal::later(words, Duration::from_secs(5))
    })?;
    // Nobody who only holds connections open ends this one.
    let _kept = link.keep();
    let bytes = received(headers, body, shared.0.deadlines).await?;
    let shared = shared.clone();
    let kept = tokio::task::spawn_blocking(move || keep(&shared, bytes)).await;
    kept.unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the report was not kept".into())))
}

/// Who has the code, which is looked at before anything else (see [`pairing`](super::pairing)), and does not send too often.
async fn admit(shared: &Shared, peer: Peer, headers: &HeaderMap) -> Result<(), Refusal> {
    let attempts = || shared.0.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.0.code.is_shown(headers) {
        let often = |wait| Refusal::later("too many reports came in a short time".into(), wait);
        return attempts().upload(Instant::now()).map_err(often);
    }
    let counted = attempts().wrong(peer, Instant::now());
    if let Err(wait) = counted {
        sleep(shared.0.deadlines.wrong_code).await;
        return Err(Refusal::later(format!("wrong pairing codes came from {peer} too often"), wait));
    }
    let words = "the pairing code is missing or not that of this run of `understory serve --lan`; open the page again \
                 with the QR code or the URL that it shows";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, words.into()))
}

/// The body, if it comes in time: as a whole, and each of its pieces.
async fn received(headers: &HeaderMap, body: &mut Body, deadlines: Deadlines) -> Result<Vec<u8>, Refusal> {
    let whole = timeout(deadlines.body, whole(headers, body, deadlines.piece)).await;
    whole.unwrap_or_else(|_| Err(Refusal::late(format!("within {} seconds", deadlines.body.as_secs()))))
}

/// The body, as long as it is not too long: what is beyond the limit is not kept for a moment.
async fn whole(headers: &HeaderMap, body: &mut Body, piece: Duration) -> Result<Vec<u8>, Refusal> {
    let too_long = || {
        let words = format!("the report has more than {MOST_BYTES} bytes; measure fewer runs, methods or lengths");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words)
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MOST_BYTES as u64) {
        return Err(too_long());
    }
    let mut all = Vec::new();
    let still = || Refusal::late(format!("whole: nothing came for {} seconds", piece.as_secs()));
    while let Some(bytes) = timeout(piece, next(body)).await.map_err(|_| still())? {
        let bytes = bytes.map_err(|error| Refusal::bad(format!("the report broke off: {error}")))?;
        if bytes.len() > MOST_BYTES - all.len() {
            return Err(too_long());
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// The next piece of `body`; trailers are none.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await? {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) => return Some(Ok(bytes)),
                Err(_) => continue,
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

fn keep(shared: &Shared, bytes: Vec<u8>) -> Result<Taken, Refusal> {
    let failed = |error: anyhow::Error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the report was not kept: {}", chain(&error)))
    };
    let report = read("the report", &bytes, MOST_BYTES as u64).map_err(|error| Refusal::bad(error.to_string()))?;
    check_id(&report.run_id).map_err(|error| Refusal::bad(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| Refusal::bad("the report is not UTF-8".into()))?;
    let digest = digest(&report).map_err(failed)?;

    let mut inbox = shared.0.inbox.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = inbox.seen.contains(&report.run_id) || inbox.seen.contains(&digest);
    if seen || inbox.collection.add(&report, &text).map_err(failed)? != Added::New {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("the report {} was sent before", report.run_id)));
    }
    inbox.seen.extend([report.run_id.clone(), digest]);
    Ok(Taken { run_id: report.run_id, device: report.device.label, scenario: report.protocol.scenario })
}

impl Refusal {
    fn new(status: StatusCode, words: String) -> Self {
        Self { status, words, retry_after: None }
    }

    fn bad(words: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    fn late(how: String) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, format!("the report did not arrive {how}"))
    }

    fn later(words: String, wait: Duration) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, words, retry_after: Some(wait) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": words::cut(&self.words) }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use hyper::body::Frame;
    use tokio::time::{Interval, interval};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    /// A byte with each tick, without end.
    struct Drip(Interval);

    impl HttpBody for Drip {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b" ")))))
        }
    }

    fn refused(every: Duration, deadlines: Deadlines) -> Refusal {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut body = Body::new(Drip(interval(every)));
            received(&HeaderMap::new(), &mut body, deadlines).await.expect_err("it never ends")
        })
    }

    /// A deadline for pieces alone fails the first, one for the whole alone the second.
    #[test]
    fn a_body_that_does_not_come_in_time_is_refused() {
        let whole = Deadlines { body: 10 * MOMENT, piece: 3000 * MOMENT, ..Deadlines::default() };
        let piece = Deadlines { body: 3000 * MOMENT, piece: 10 * MOMENT, ..Deadlines::default() };
        for refusal in [refused(MOMENT, whole), refused(2000 * MOMENT, piece)] {
            assert_eq!(refusal.status, StatusCode::REQUEST_TIMEOUT, "{}", refusal.words);
        }
    }
}
