//! Models as blobs, whose bytes stay with the browser until a piece of them is wanted.

use std::collections::HashMap;
use std::io;

use js_sys::Uint8Array;
use understory_engine::Error;
use understory_engine::model::files::{FileBytes, ModelFiles};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, FileReaderSync};

use crate::js::shown;

/// The files of one model.
pub struct BlobFiles {
    pub name: String,
    pub files: HashMap<String, Blob>,
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

fn bytes(file: &str, blob: &Blob) -> understory_engine::Result<FileBytes<'static>> {
    read_blob(blob).map(FileBytes::Owned).map_err(|error| unreadable(file, &error))
}

/// Reads a blob at once, as only a worker may.
///
/// # Errors
/// Where the file behind it was changed or deleted.
pub fn read_blob(blob: &Blob) -> Result<Vec<u8>, JsValue> {
    let buffer = FileReaderSync::new()?.read_as_array_buffer(blob)?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

fn unreadable(file: &str, error: &JsValue) -> Error {
    Error::Io { path: file.into(), source: io::Error::other(shown(error)) }
}
