//! Hands a text to the person as a file.

use js_sys::Array;
use leptos::prelude::document;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, BlobPropertyBag, HtmlElement, Url};

/// # Errors
/// What the browser says.
pub fn json(name: &str, text: &str) -> Result<(), String> {
    self::text(name, "application/json", text)
}

/// A file of another kind.
///
/// # Errors
/// What the browser says.
pub fn text(name: &str, kind: &str, text: &str) -> Result<(), String> {
    save(name, kind, text).map_err(|error| format!("{name} could not be handed out: {error:?}"))
}

fn save(name: &str, kind: &str, text: &str) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let link: HtmlElement = document().create_element("a")?.unchecked_into();
    link.set_attribute("href", &url)?;
    link.set_attribute("download", name)?;
    link.click();
    // The download holds the blob itself by now.
    Url::revoke_object_url(&url)
}
