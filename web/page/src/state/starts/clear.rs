//! Takes away what earlier visits left, as far as a page can: for the state `first_visit`.

use std::collections::HashMap;

use leptos::prelude::window;
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{FileSystemDirectoryHandle, Response};

use crate::platform::{offline, storage};

/// As the engine's worker names its folder of weights.
const FOLDER: &str = "understory";
const INDEX: &str = "models/index.json";

#[derive(Deserialize)]
struct Listed {
    sha256: String,
}

/// Deletes the bundled models' files, the kept costs, the service worker and its caches. Other models that the browser
/// keeps stay: nothing measured here reads them.
///
/// # Errors
/// A message: what could not be deleted.
pub async fn first_visit() -> Result<(), String> {
    let failed = |error: JsValue| format!("what earlier visits left could not be deleted: {error:?}");
    weights().await.map_err(|error| format!("{}; close other tabs with this page", failed(error)))?;
    storage::forget_costs();
    offline::forget().await.map_err(failed)
}

async fn weights() -> Result<(), JsValue> {
    let root: FileSystemDirectoryHandle =
        JsFuture::from(window().navigator().storage().get_directory()).await?.unchecked_into();
    // There is none before the first load.
    let Ok(folder) = JsFuture::from(root.get_directory_handle(FOLDER)).await else { return Ok(()) };
    let folder: FileSystemDirectoryHandle = folder.unchecked_into();
    let response: Response = JsFuture::from(window().fetch_with_str(INDEX)).await?.unchecked_into();
    let text = JsFuture::from(response.text()?).await?.as_string().unwrap_or_default();
    let index: HashMap<String, HashMap<String, Listed>> =
        serde_json::from_str(&text).map_err(|error| JsValue::from(format!("{INDEX}: {error}")))?;
    for listed in index.values().flat_map(|files| files.values()) {
        for name in [listed.sha256.clone(), format!("{}.part", listed.sha256)] {
            let removed = JsFuture::from(folder.remove_entry(&name)).await;
            let absent =
                |error: &JsValue| js_sys::Reflect::get(error, &"name".into()).is_ok_and(|name| name == "NotFoundError");
            removed.map(|_| ()).or_else(|error| if absent(&error) { Ok(()) } else { Err(error) })?;
        }
    }
    Ok(())
}
