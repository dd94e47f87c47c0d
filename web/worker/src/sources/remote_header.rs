//! The beginning of a GGUF file on a server. Its header says whether the model can be run, before gigabytes come.

use std::cell::Cell;

use understory_model::config::ModelConfig;
use understory_model::files::{FileBytes, ModelFiles};
use understory_model::repository::Limits;
use understory_protocol::{Error, Result};

use crate::http::{self, Body, Refused};
use crate::js::shown;

/// Bytes after which the header is first tried; after that at twice as many each time.
const FIRST: usize = 1 << 20;

/// A file of which only the beginning is here.
struct Beginning<'a> {
    file: &'a str,
    /// of the whole file
    len: u64,
    came: Vec<u8>,
    /// The last range went beyond what came.
    is_short: Cell<bool>,
}

/// What the header of the file at `url`, of `len` bytes, says; no more of it is asked for than that takes.
///
/// # Errors
/// [`Refused`] where the header does not come; within, what is wrong with it.
pub async fn config(
    url: &str,
    token: Option<&str>,
    file: &str,
    len: u64,
) -> std::result::Result<Result<ModelConfig>, Refused> {
    let silent = |error| Refused::Silent(shown(&error));
    let answer = http::get(url, 0, token).await?;
    let body = Body::of(&answer).map_err(silent)?;
    let (mut beginning, mut next) = (Beginning { file, len, came: Vec::new(), is_short: Cell::default() }, FIRST);
    loop {
        let piece = body.piece(Limits::IDLE).await.map_err(silent)?;
        let is_end = piece.is_none();
        beginning.came.extend(piece.unwrap_or_default());
        if is_end || beginning.came.len() >= next {
            let config = ModelConfig::from_files(&beginning);
            if is_end || config.is_ok() || !beginning.is_short.get() {
                return Ok(config);
            }
            next *= 2;
        }
    }
}

impl ModelFiles for Beginning<'_> {
    fn name(&self) -> String {
        self.file.into()
    }

    fn gguf(&self) -> Option<String> {
        Some(self.file.into())
    }

    fn read(&self, _: &str) -> Result<Option<FileBytes<'_>>> {
        Ok(None)
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        Ok((file == self.file).then_some(self.len))
    }

    /// Of a range that is not all here, what there is of it: readers of headers ask for more than they need.
    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        let (came, end) = (self.came.len() as u64, offset.saturating_add(len));
        self.is_short.set(end > came);
        if file != self.file || offset >= came {
            return Err(Error::Truncated { file: file.into(), expected: end, actual: came });
        }
        // Both ends are at most the length of a vector, so they fit a usize.
        Ok(FileBytes::Borrowed(&self.came[offset as usize..end.min(came) as usize]))
    }
}
