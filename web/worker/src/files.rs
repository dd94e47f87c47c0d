//! Models as blobs, whose bytes stay with the browser until a piece of them is wanted.

use std::collections::{BTreeMap, HashMap};
use std::io;

use js_sys::Uint8Array;
use serde::Deserialize;
use understory_engine::Error;
use understory_engine::model::files::{FileBytes, ModelFiles};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, FileReaderSync, Response};

use crate::scope;
use crate::store::{Store, Wanted};

/// The models that lie beside the page, with the sizes and hashes of their files; `cargo xtask web` writes it.
const INDEX: &str = "models/index.json";

#[derive(Deserialize)]
struct IndexedFile {
    bytes: u64,
    sha256: String,
}

/// The files of one model.
pub struct BlobFiles {
    name: String,
    files: HashMap<String, Blob>,
}

impl BlobFiles {
    /// A model that lies beside the page, from `store` where it is kept; `on_progress(done, total)` in bytes.
    ///
    /// # Errors
    /// A message that names the file that could not be had.
    pub async fn bundled(name: &str, store: &Store, on_progress: &mut dyn FnMut(u64, u64)) -> Result<Self, String> {
        let text = JsFuture::from(fetch(INDEX).await?.text().map_err(|_| unreadable_index())?).await;
        let text = text.ok().and_then(|text| text.as_string()).ok_or_else(unreadable_index)?;
        let mut index: HashMap<String, BTreeMap<String, IndexedFile>> =
            serde_json::from_str(&text).map_err(|_| unreadable_index())?;
        let known = index.keys().cloned().collect::<Vec<_>>().join(", ");
        let listed = index.remove(name).ok_or_else(|| format!("there is no model `{name}` here; known: {known}"))?;
        let total = listed.values().map(|file| file.bytes).sum();
        let (mut done, mut files) = (0, HashMap::new());
        for (file, IndexedFile { bytes, sha256 }) in listed {
            let wanted = Wanted { url: format!("models/{name}/{file}"), bytes, sha256 };
            let blob = store.have(&wanted, &mut |of_file| on_progress(done + of_file, total)).await?;
            done += bytes;
            files.insert(file, blob);
        }
        Ok(Self { name: name.into(), files })
    }
}

impl ModelFiles for BlobFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn read(&self, file: &str) -> understory_engine::Result<Option<FileBytes<'_>>> {
        self.files.get(file).map(|blob| bytes(file, blob)).transpose()
    }

    fn len(&self, file: &str) -> understory_engine::Result<Option<u64>> {
        Ok(self.files.get(file).map(|blob| blob.size() as u64))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> understory_engine::Result<FileBytes<'_>> {
        let missing = || Error::NotAModel { path: self.name.clone().into(), missing: file.into() };
        let blob = self.files.get(file).ok_or_else(missing)?;
        let (actual, end) = (blob.size() as u64, offset.saturating_add(len));
        if end > actual {
            return Err(Error::Truncated { file: file.into(), expected: end, actual });
        }
        let part = blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(|error| unreadable(file, &error))?;
        bytes(file, &part)
    }
}

/// Reads a blob at once, as only a worker may.
fn bytes(file: &str, blob: &Blob) -> understory_engine::Result<FileBytes<'static>> {
    let read = FileReaderSync::new().and_then(|reader| reader.read_as_array_buffer(blob));
    let buffer = read.map_err(|error| unreadable(file, &error))?;
    Ok(FileBytes::Owned(Uint8Array::new(&buffer).to_vec()))
}

fn unreadable(file: &str, error: &JsValue) -> Error {
    Error::Io { path: file.into(), source: io::Error::other(format!("{error:?}")) }
}

fn unreadable_index() -> String {
    format!("{INDEX} is no list of models: the page was not built whole")
}

async fn fetch(url: &str) -> Result<Response, String> {
    let failed = |error: JsValue| format!("cannot fetch {url}: {error:?}");
    let response: Response = JsFuture::from(scope().fetch_with_str(url)).await.map_err(failed)?.unchecked_into();
    if !response.ok() {
        return Err(format!("cannot fetch {url}: the server answered {}", response.status()));
    }
    Ok(response)
}
