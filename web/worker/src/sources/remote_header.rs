//! What the headers of GGUF files on a server say: whether the model can be run, before gigabytes come. A reader that
//! asks for bytes which are not here fails; they are fetched, and it begins again.

use std::cell::RefCell;
use std::collections::HashMap;

use understory_model::config::ModelConfig;
use understory_model::files::{FileBytes, ModelFiles};
use understory_model::repository::Limits;
use understory_protocol::{Error, Result};

use crate::http::{self, Body, Refused};
use crate::js::shown;
use crate::store::Manifest;

/// Bytes of a file's beginning that come at first; after that it becomes twice as long each time.
const FIRST: u64 = 1 << 20;
/// Bytes after which the whole files may come as well.
const MOST: u64 = 128 << 20;

/// Files of which little is here.
struct Beginnings<'a> {
    manifest: &'a Manifest,
    first: String,
    begun: HashMap<String, Vec<u8>>,
    /// what lies further behind: file, place, bytes
    others: Vec<(String, u64, Vec<u8>)>,
    /// what the reader asked for in vain: file, offset, length
    missed: RefCell<Option<(String, u64, u64)>>,
}

/// The configuration of the GGUF model `manifest`, whose first file is `first`; `None` where finding out takes too much.
/// `address` says where a file is, and `token` who asks.
///
/// # Errors
/// The file that does not come, with [`Refused`]; within, what is wrong with the model.
pub async fn config(
    manifest: &Manifest,
    first: String,
    address: impl Fn(&str) -> (String, Option<String>),
) -> std::result::Result<Option<Result<ModelConfig>>, (String, Refused)> {
    let mut files = Beginnings { manifest, first, begun: [].into(), others: vec![], missed: RefCell::default() };
    let mut came = 0;
    loop {
        let config = ModelConfig::from_files(&files);
        let Some((file, offset, len)) = files.missed.take() else { return Ok(Some(config)) };
        let begun = files.begun.entry(file.clone()).or_default();
        let (held, all) = (begun.len() as u64, manifest.files[&file].bytes);
        let is_next = offset <= held;
        let (from, to) = if is_next { (held, (offset + len).max(2 * held).max(FIRST)) } else { (offset, offset + len) };
        let (url, token) = address(&file);
        let bytes = range(&url, token.as_deref(), from, to.min(all)).await;
        let Some(bytes) = bytes.map_err(|refused| (file.clone(), refused))? else { return Ok(None) };
        came += bytes.len() as u64;
        if came > MOST || bytes.is_empty() {
            return Ok(None);
        }
        if is_next {
            begun.extend(bytes);
        } else {
            files.others.push((file, from, bytes));
        }
    }
}

/// The bytes from `from` to `to`, fewer where they end before; `None` from a server that gives no ranges.
async fn range(url: &str, token: Option<&str>, from: u64, to: u64) -> std::result::Result<Option<Vec<u8>>, Refused> {
    let silent = |error| Refused::Silent(shown(&error));
    let answer = http::get(url, from, token).await?;
    if from > 0 && answer.response.status() != 206 {
        return Ok(None);
    }
    let (body, mut bytes, len) = (Body::of(&answer).map_err(silent)?, Vec::new(), to.saturating_sub(from));
    while (bytes.len() as u64) < len
        && let Some(piece) = body.piece(Limits::IDLE).await.map_err(silent)?
    {
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}

impl ModelFiles for Beginnings<'_> {
    fn name(&self) -> String {
        self.manifest.source.label()
    }

    fn gguf(&self) -> Option<String> {
        Some(self.first.clone())
    }

    fn read(&self, _: &str) -> Result<Option<FileBytes<'_>>> {
        Ok(None)
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.manifest.files.get(file).map(|contents| contents.bytes))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        let actual = self.len(file)?.unwrap_or(0);
        let end = offset.saturating_add(len);
        let truncated = || Error::Truncated { file: file.into(), expected: end, actual };
        if end > actual {
            return Err(truncated());
        }
        let within = |from: u64, bytes: &'_ [u8]| from <= offset && end - from <= bytes.len() as u64;
        let begun = self.begun.get(file).map(|bytes| (0, bytes)).filter(|(_, bytes)| within(0, bytes));
        let other = || {
            let other = self.others.iter().find(|(of, from, bytes)| of == file && within(*from, bytes));
            other.map(|(_, from, bytes)| (*from, bytes))
        };
        let Some((from, bytes)) = begun.or_else(other) else {
            *self.missed.borrow_mut() = Some((file.into(), offset, len));
            return Err(truncated());
        };
        // Both ends are at most the length of a vector, so they fit a usize.
        Ok(FileBytes::Borrowed(&bytes[(offset - from) as usize..(end - from) as usize]))
    }
}
