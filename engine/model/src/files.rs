//! The files of one model, wherever they lie: a folder on disk, bytes inside the program, or something a
//! front end provides (the browser's cache). Nothing here knows what the files mean.

#[cfg(not(target_family = "wasm"))]
mod folder;

use std::ops::Deref;

use understory_protocol::{Error, Result};

#[cfg(not(target_family = "wasm"))]
pub use self::folder::FolderFiles;

/// Bytes of a file or of a part of one, kept in the cheapest form the source has.
pub enum FileBytes<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
}

impl FileBytes<'_> {
    pub fn into_owned(self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Deref for FileBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A model's files by name, in the layout of a Hugging Face repository or in GGUF.
pub trait ModelFiles {
    /// The model's name in messages.
    fn name(&self) -> String;

    /// A whole small file; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Io`] where it exists and cannot be read.
    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>>;

    /// Size of a file in bytes; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Io`] where it exists and cannot be examined.
    fn len(&self, file: &str) -> Result<Option<u64>>;

    /// `len` bytes from `offset`, and nothing else of the file.
    ///
    /// # Errors
    /// [`Error::Truncated`] where the file ends before `offset + len`, also where it shrinks meanwhile; [`Error::Io`].
    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>>;

    /// The name of the first file of a model in GGUF, which then is all of the model. `None`: the layout of a Hugging Face
    /// repository.
    fn gguf(&self) -> Option<String> {
        None
    }

    /// Lets go of what was read ahead: the model is open.
    fn release(&self) {}
}

/// The most bytes that a file which is read whole may have, by its name. Published ones stay far below, but for
/// `tokenizer.json`, of which Gemma 3's has 33 MB.
fn max_bytes(file: &str) -> u64 {
    const MIB: u64 = 1 << 20;
    match file {
        "tokenizer.json" | "model.safetensors.index.json" => 64 * MIB,
        "tokenizer_config.json" => 16 * MIB,
        "chat_template.jinja" => MIB,
        _ => 4 * MIB,
    }
}

/// [`ModelFiles::read`], for a file of reasonable size.
///
/// # Errors
/// Those of [`ModelFiles::read`], and [`Error::BadFile`] for a file that is too large to be what its name says.
pub(crate) fn read_small<'a>(files: &'a dyn ModelFiles, file: &str) -> Result<Option<FileBytes<'a>>> {
    let max = max_bytes(file);
    match files.len(file)? {
        None => Ok(None),
        Some(len) if len <= max => files.read(file),
        Some(len) => {
            Err(Error::BadFile { file: file.into(), reason: format!("has {len} bytes; at most {max} are expected") })
        }
    }
}

/// A text file of the model; `None` if there is none of that name.
///
/// # Errors
/// Those of [`read_small`], and [`Error::BadFile`] where it is not UTF-8.
pub(crate) fn read_text(files: &dyn ModelFiles, file: &str) -> Result<Option<String>> {
    let Some(bytes) = read_small(files, file)? else { return Ok(None) };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(Error::BadFile { file: file.into(), reason: format!("not UTF-8: {error}") }),
    }
}

/// The end of a region, checked against the file's size.
fn region_end(file: &str, offset: u64, len: u64, actual: u64) -> Result<u64> {
    match offset.checked_add(len) {
        Some(end) if end <= actual => Ok(end),
        end => Err(Error::Truncated { file: file.into(), expected: end.unwrap_or(u64::MAX), actual }),
    }
}

/// Files that are part of the program: `include_bytes!` of the bundled models.
#[derive(Clone, Copy)]
pub struct StaticFiles {
    pub name: &'static str,
    pub files: &'static [(&'static str, &'static [u8])],
}

impl StaticFiles {
    fn find(&self, file: &str) -> Option<&'static [u8]> {
        self.files.iter().find(|(name, _)| *name == file).map(|(_, bytes)| *bytes)
    }
}

impl ModelFiles for StaticFiles {
    fn name(&self) -> String {
        self.name.into()
    }

    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>> {
        Ok(self.find(file).map(FileBytes::Borrowed))
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.find(file).map(|bytes| bytes.len() as u64))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        let bytes = self.find(file).ok_or_else(|| Error::NotAModel { path: self.name.into(), missing: file.into() })?;
        let end = region_end(file, offset, len, bytes.len() as u64)?;
        // Both ends are at most the length of a slice, so they fit a usize.
        Ok(FileBytes::Borrowed(&bytes[offset as usize..end as usize]))
    }
}
