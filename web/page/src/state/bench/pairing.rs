//! Reports for the computer that serves this page: its address had a code, which lets them in.

use leptos::prelude::window;
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response};

use crate::platform::route::Route;
use crate::platform::storage;

const ITEM: &str = "understory.pair";

/// What the server answers.
#[derive(Deserialize)]
struct Answer {
    run_id: Option<String>,
    error: Option<String>,
}

/// The code of the address, which it is taken out of, or the one that it had before in this tab.
pub fn take_code() -> Option<String> {
    if let Some(code) = Route::Bench.parameter("pair") {
        storage::keep_session_item(ITEM, &code);
        if let Ok(history) = window().history() {
            // Where it stays, whoever reads over a shoulder may send reports.
            let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(Route::Bench.hash()));
        }
    }
    storage::session_item(ITEM).filter(|code| !code.is_empty())
}

/// Sends a report; the run that arrived.
///
/// # Errors
/// Why it did not, for people.
pub async fn post(code: &str, json: &str) -> Result<String, String> {
    let (status, text) =
        ask(code, json).await.map_err(|_| "It could not be sent: no answer came. Is that computer still serving?")?;
    let answer: Option<Answer> = serde_json::from_str(&text).ok();
    match (status, answer) {
        (201, Some(Answer { run_id: Some(run_id), .. })) => Ok(run_id),
        (_, Some(Answer { error: Some(error), .. })) => Err(format!("It was refused: {error}")),
        _ => Err(format!("It was refused with status {status}: is this page served by understory serve --lan?")),
    }
}

async fn ask(code: &str, json: &str) -> Result<(u16, String), JsValue> {
    let headers = Headers::new()?;
    headers.set("authorization", &format!("Bearer {code}"))?;
    headers.set("content-type", "application/json")?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&json.into());
    let request = Request::new_with_str_and_init("./reports", &init)?;
    let response: Response = JsFuture::from(window().fetch_with_request(&request)).await?.unchecked_into();
    let text = JsFuture::from(response.text()?).await?.as_string().unwrap_or_default();
    Ok((response.status(), text))
}
