//! Requests to servers.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use web_sys::{ReferrerPolicy, Request, RequestCache, RequestCredentials, RequestInit, Response};

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

/// Asks for `url` from byte `from` on, with `token` for the server that it names. Servers other than the page's own see
/// no cookies and no address of the page, and of what the store keeps the browser's cache keeps nothing.
///
/// # Errors
/// [`Refused`].
pub async fn get(url: &str, from: u64, token: Option<&str>) -> Result<Response, Refused> {
    let silent = |error: JsValue| Refused::Silent(shown(&error));
    let init = RequestInit::new();
    let is_own = !url.contains("://");
    if !is_own {
        init.set_credentials(RequestCredentials::Omit);
        init.set_referrer_policy(ReferrerPolicy::NoReferrer);
        init.set_cache(RequestCache::NoStore);
    }
    let request = Request::new_with_str_and_init(url, &init).map_err(silent)?;
    if from > 0 {
        request.headers().set("range", &format!("bytes={from}-")).map_err(silent)?;
    }
    if let Some(token) = token {
        // The browser leaves it out where a redirection leads to another origin.
        request.headers().set("authorization", &format!("Bearer {token}")).map_err(silent)?;
    }
    let response: Response = resolved(scope().fetch_with_request(&request)).await.map_err(silent)?;
    if response.ok() { Ok(response) } else { Err(Refused::Status(response.status())) }
}

/// The text of an answer.
///
/// # Errors
/// Where the connection breaks.
pub async fn text(response: &Response) -> Result<String, Refused> {
    let silent = |error: JsValue| Refused::Silent(shown(&error));
    let text: JsValue = resolved(response.text().map_err(silent)?).await.map_err(silent)?;
    Ok(text.as_string().unwrap_or_default())
}

/// Whether the browser knows that there is no network.
pub fn is_offline() -> bool {
    Reflect::get(&scope().navigator(), &"onLine".into()).is_ok_and(|on_line| on_line == JsValue::FALSE)
}
