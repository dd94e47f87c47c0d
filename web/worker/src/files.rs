//! Models as blobs, whose bytes stay with the browser until a piece of them is wanted.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::ops::Range;

use js_sys::Uint8Array;
use understory_model::files::{FileBytes, ModelFiles};
use understory_protocol::Error;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, FileReaderSync};

use crate::js::shown;

/// Bytes read at once: each read is a question to another process, and small tensors are many.
const BLOCK: u64 = 8 << 20;

/// The files of one model.
pub struct BlobFiles {
    name: String,
    files: HashMap<String, Blob>,
    /// the first file of a model in GGUF
    gguf: Option<String>,
    /// the last blocks read, the newest first
    ahead: RefCell<Vec<Block>>,
}

/// A block of a file: its name, the block's number, the bytes.
type Block = (String, u64, Vec<u8>);

impl BlobFiles {
    pub fn new(name: String, files: HashMap<String, Blob>, gguf: Option<String>) -> Self {
        Self { name, files, gguf, ahead: RefCell::default() }
    }

    /// Appends what `wanted` has of block `number` of a file to `bytes`.
    fn append_from_block(
        &self,
        (file, blob): (&str, &Blob),
        number: u64,
        wanted: Range<u64>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), JsValue> {
        let mut ahead = self.ahead.borrow_mut();
        let start = number * BLOCK;
        if let Some(at) = ahead.iter().position(|(of, n, _)| of == file && *n == number) {
            ahead[..=at].rotate_right(1);
        } else {
            let end = (start + BLOCK).min(blob.size() as u64);
            ahead.truncate(1);
            ahead.insert(0, (file.into(), number, read_blob(&slice(blob, start..end)?)?));
        }
        let block = &ahead[0].2;
        let within = |at: u64| at.clamp(start, start + block.len() as u64) - start;
        bytes.extend_from_slice(&block[within(wanted.start) as usize..within(wanted.end) as usize]);
        Ok(())
    }
}

fn slice(blob: &Blob, bytes: Range<u64>) -> Result<Blob, JsValue> {
    blob.slice_with_f64_and_f64(bytes.start as f64, bytes.end as f64)
}

impl ModelFiles for BlobFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn gguf(&self) -> Option<String> {
        self.gguf.clone()
    }

    fn read(&self, file: &str) -> understory_protocol::Result<Option<FileBytes<'_>>> {
        self.files.get(file).map(|blob| bytes(file, blob)).transpose()
    }

    fn len(&self, file: &str) -> understory_protocol::Result<Option<u64>> {
        Ok(self.files.get(file).map(|blob| blob.size() as u64))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> understory_protocol::Result<FileBytes<'_>> {
        let missing = || Error::NotAModel { path: self.name.clone().into(), missing: file.into() };
        let blob = self.files.get(file).ok_or_else(missing)?;
        let (actual, end) = (blob.size() as u64, offset.saturating_add(len));
        if end > actual {
            return Err(Error::Truncated { file: file.into(), expected: end, actual });
        }
        let unreadable = |error| unreadable(file, &error);
        if len >= BLOCK {
            return bytes(file, &slice(blob, offset..end).map_err(unreadable)?);
        }
        let mut all = Vec::with_capacity(len as usize);
        for number in offset / BLOCK..end.div_ceil(BLOCK) {
            self.append_from_block((file, blob), number, offset..end, &mut all).map_err(unreadable)?;
        }
        Ok(FileBytes::Owned(all))
    }

    fn release(&self) {
        self.ahead.take();
    }
}

fn bytes(file: &str, blob: &Blob) -> understory_protocol::Result<FileBytes<'static>> {
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
