//! Small files beside the page.

use leptos::prelude::window;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

/// `None`: it is not there, or cannot be reached.
pub async fn text(path: &str) -> Option<String> {
    JsFuture::from(fetched(path).await?.text().ok()?).await.ok()?.as_string()
}

/// What a file of JSON holds, as the browser reads it. `None` as for [`text`], and where it is no JSON.
pub async fn json(path: &str) -> Option<JsValue> {
    JsFuture::from(fetched(path).await?.json().ok()?).await.ok()
}

async fn fetched(path: &str) -> Option<Response> {
    let response: Response = JsFuture::from(window().fetch_with_str(path)).await.ok()?.unchecked_into();
    response.ok().then_some(response)
}
