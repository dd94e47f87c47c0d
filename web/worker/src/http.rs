//! Requests to servers. Every wait for a byte ends.

use std::cell::Cell;
use std::time::Duration;

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use understory_model::repository::Limits;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, ReadableStreamDefaultReader, ReferrerPolicy, Request, RequestCache, RequestCredentials,
    RequestInit, Response,
};

use crate::js::{resolved, shown};
use crate::scope;

/// Why there is no answer to read.
#[derive(Debug)]
pub enum Refused {
    /// an error status
    Status(u16),
    /// No answer at all, or one that the browser keeps from the page: offline, no such host, no CORS headers.
    Silent(String),
}

/// An answer that has begun. A connection is ended where nobody reads on.
pub struct Answer {
    pub response: Response,
    request: AbortController,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.request.abort();
    }
}

/// Asks for `url` from byte `from` on, with `token` for the server that it names. Servers other than the page's own see
/// no cookies and no address of the page, and of what the store keeps the browser's cache keeps nothing.
///
/// # Errors
/// [`Refused`].
pub async fn get(url: &str, from: u64, token: Option<&str>) -> Result<Answer, Refused> {
    let silent = |error: JsValue| Refused::Silent(shown(&error));
    let init = RequestInit::new();
    let is_own = !url.contains("://");
    if !is_own {
        init.set_credentials(RequestCredentials::Omit);
        init.set_referrer_policy(ReferrerPolicy::NoReferrer);
        init.set_cache(RequestCache::NoStore);
    }
    let controller = AbortController::new().map_err(silent)?;
    init.set_signal(Some(&controller.signal()));
    let request = Request::new_with_str_and_init(url, &init).map_err(silent)?;
    if from > 0 {
        request.headers().set("range", &format!("bytes={from}-")).map_err(silent)?;
    }
    if let Some(token) = token {
        // A page cannot follow redirects itself. The browser leaves this header out where one leads to another origin
        // (Fetch Standard, HTTP-redirect fetch, step 13), and follows none from https to http.
        request.headers().set("authorization", &format!("Bearer {token}")).map_err(silent)?;
    }
    let answer = timed(scope().fetch_with_request(&request), Limits::IDLE).await;
    if answer.is_err() {
        controller.abort();
    }
    let answer = Answer { response: answer.map_err(silent)?.unchecked_into(), request: controller };
    if answer.response.ok() { Ok(answer) } else { Err(Refused::Status(answer.response.status())) }
}

/// The text of an answer, of at most `most` bytes.
///
/// # Errors
/// Where the connection breaks or falls silent, and where there is more.
pub async fn text(answer: &Answer, most: usize) -> Result<String, Refused> {
    let silent = |error: JsValue| Refused::Silent(shown(&error));
    let body = Body::of(answer).map_err(silent)?;
    let mut bytes = Vec::new();
    while let Some(piece) = body.piece(Limits::IDLE).await.map_err(silent)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > most {
            return Err(Refused::Silent(format!("more than {} MiB came", most >> 20)));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What an answer brings, piece by piece.
pub struct Body(Option<ReadableStreamDefaultReader>);

impl Body {
    /// # Errors
    /// Where somebody else reads it.
    pub fn of(answer: &Answer) -> Result<Self, JsValue> {
        let body = answer.response.body();
        body.map(|body| ReadableStreamDefaultReader::new(&body)).transpose().map(Self)
    }

    /// The next piece, which comes within `limit`; `None` at the end.
    ///
    /// # Errors
    /// Where the connection breaks, or nothing comes.
    pub async fn piece(&self, limit: Duration) -> Result<Option<Vec<u8>>, JsValue> {
        let Some(reader) = &self.0 else { return Ok(None) };
        let read = timed(reader.read(), limit).await?;
        let value = Reflect::get(&read, &"value".into())?;
        Ok((!value.is_undefined()).then(|| value.unchecked_into::<Uint8Array>().to_vec()))
    }
}

/// What the promise becomes within `limit`.
///
/// # Errors
/// What it is rejected with, and that nothing came.
async fn timed(promise: Promise, limit: Duration) -> Result<JsValue, JsValue> {
    let (timer, late) = timer(limit);
    let first = JsFuture::from(Promise::race(&Array::of2(&promise, &late))).await;
    scope().clear_timeout_with_handle(timer);
    let first = first?;
    if first.is_null() {
        return Err(format!("nothing came for {:.0} s", limit.as_secs_f64()).into());
    }
    Ok(first)
}

/// Waits.
pub async fn pause(pause: Duration) {
    let _: Result<JsValue, JsValue> = resolved(timer(pause).1).await;
}

/// A promise that becomes null after `limit`, and the number of its timer.
fn timer(limit: Duration) -> (i32, Promise) {
    let handle = Cell::new(0);
    let ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let promise = Promise::new(&mut |resolve: Function, _| {
        // Without a timer the wait is the browser's own.
        let set = scope().set_timeout_with_callback_and_timeout_and_arguments_1(&resolve, ms, &JsValue::NULL);
        handle.set(set.unwrap_or_default());
    });
    (handle.get(), promise)
}

/// Whether the browser knows that there is no network.
pub fn is_offline() -> bool {
    Reflect::get(&scope().navigator(), &"onLine".into()).is_ok_and(|on_line| on_line == JsValue::FALSE)
}
