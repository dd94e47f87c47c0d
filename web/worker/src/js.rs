//! JavaScript's values, for messages and for Rust.

use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

/// A JavaScript error for a message.
pub fn shown(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    let message = message.filter(|message| !message.is_empty());
    message.or_else(|| name_of(error)).or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}

/// The kind of an error: `QuotaExceededError`, ...
pub fn name_of(error: &JsValue) -> Option<String> {
    Reflect::get(error, &"name".into()).ok()?.as_string()
}

/// What the promise becomes.
///
/// # Errors
/// What it is rejected with.
pub async fn resolved<T: JsCast>(promise: Promise) -> Result<T, JsValue> {
    Ok(JsFuture::from(promise).await?.unchecked_into())
}

/// A small blob as text.
pub async fn text(blob: &Blob) -> Option<String> {
    JsFuture::from(blob.text()).await.ok()?.as_string()
}

/// A count of bytes for people, in the page's units.
pub fn bytes(n: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| n >= 1 << shift) {
        Some((shift, unit)) => format!("{:.1} {unit}", n as f64 / (1u64 << shift) as f64),
        None => format!("{n} bytes"),
    }
}

/// Milliseconds on the worker's clock.
pub fn now_ms() -> f64 {
    crate::scope().performance().map_or(0.0, |performance| performance.now())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
