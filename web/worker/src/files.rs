//! Models that lie beside the page.

use std::collections::HashMap;

use js_sys::Uint8Array;
use understory_engine::Error;
use understory_engine::model::files::{FileBytes, ModelFiles};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::scope;

const FILES: [&str; 5] =
    ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

/// The files of one model, in memory.
pub struct FetchedFiles {
    name: String,
    files: HashMap<String, Vec<u8>>,
}

impl FetchedFiles {
    /// Fetches `models/NAME/` beside the page.
    pub async fn fetch(name: &str) -> Result<Self, String> {
        let mut files = HashMap::new();
        for file in FILES {
            files.insert(file.to_owned(), fetch(&format!("models/{name}/{file}")).await?);
        }
        Ok(Self { name: name.into(), files })
    }

    fn find(&self, file: &str) -> Option<&[u8]> {
        self.files.get(file).map(Vec::as_slice)
    }
}

impl ModelFiles for FetchedFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn read(&self, file: &str) -> understory_engine::Result<Option<FileBytes<'_>>> {
        Ok(self.find(file).map(FileBytes::Borrowed))
    }

    fn len(&self, file: &str) -> understory_engine::Result<Option<u64>> {
        Ok(self.find(file).map(|bytes| bytes.len() as u64))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> understory_engine::Result<FileBytes<'_>> {
        let bytes = self.find(file).unwrap_or_default();
        let region = usize::try_from(offset).ok().zip(usize::try_from(offset + len).ok());
        let found = region.and_then(|(from, to)| bytes.get(from..to));
        let expected = offset + len;
        found
            .map(FileBytes::Borrowed)
            .ok_or(Error::Truncated { file: file.into(), expected, actual: bytes.len() as u64 })
    }
}

async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let failed = |error: JsValue| format!("cannot fetch {url}: {error:?}");
    let response: Response =
        JsFuture::from(scope().fetch_with_str(url)).await.map_err(failed)?.unchecked_into();
    if !response.ok() {
        return Err(format!("cannot fetch {url}: the server answered {}", response.status()));
    }
    let buffer = JsFuture::from(response.array_buffer().map_err(failed)?).await.map_err(failed)?;
    Ok(Uint8Array::new(&buffer).to_vec())
}
