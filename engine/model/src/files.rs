//! The files of one model, wherever they lie: a folder on disk, bytes inside the program, or something a
//! front end provides (the browser's cache). Nothing here knows what the files mean.

use std::ops::Deref;
#[cfg(not(target_family = "wasm"))]
use std::{
    fs::File,
    path::{Path, PathBuf},
};

use understory_protocol::{Error, Result};

/// Bytes of a file or of a part of one, kept in the cheapest form the source has.
pub enum FileBytes<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
    #[cfg(not(target_family = "wasm"))]
    Mapped(memmap2::Mmap),
}

impl Deref for FileBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped(map) => map,
        }
    }
}

/// A model's files by name, in the layout of a Hugging Face repository.
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

    /// `len` bytes from `offset`. Natively a map of that region alone, so that what is resident while a model
    /// loads is one tensor and not its file.
    ///
    /// # Errors
    /// [`Error::Truncated`] where the file ends before `offset + len`; [`Error::Io`].
    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>>;

    /// Lets go of what was read ahead: the model is open.
    fn release(&self) {}
}

/// A text file of the model; `None` if there is none of that name.
///
/// # Errors
/// [`Error::BadFile`] where it is not UTF-8.
pub(crate) fn read_text(files: &dyn ModelFiles, file: &str) -> Result<Option<String>> {
    let Some(bytes) = files.read(file)? else { return Ok(None) };
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

/// A folder on disk.
#[cfg(not(target_family = "wasm"))]
pub struct FolderFiles {
    path: PathBuf,
}

#[cfg(not(target_family = "wasm"))]
impl FolderFiles {
    /// # Errors
    /// [`Error::NotAModel`] names the first of the files a model needs that the folder lacks.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let missing = if !path.is_dir() {
            Some("the folder itself")
        } else if !path.join("config.json").is_file() {
            Some("config.json")
        } else if !path.join("tokenizer.json").is_file() {
            Some("tokenizer.json")
        } else if !["model.safetensors", "model.safetensors.index.json"].iter().any(|f| path.join(f).is_file()) {
            Some("model.safetensors")
        } else {
            None
        };
        match missing {
            Some(missing) => Err(Error::NotAModel { path, missing: missing.into() }),
            None => Ok(Self { path }),
        }
    }

    fn file(&self, file: &str) -> Result<Option<(File, u64)>> {
        let path = self.path.join(file);
        let io = |source| Error::Io { path: path.clone(), source };
        match File::open(&path) {
            Ok(handle) => {
                let len = handle.metadata().map_err(io)?.len();
                Ok(Some((handle, len)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    fn absent(&self, file: &str) -> Error {
        Error::NotAModel { path: self.path.clone(), missing: file.into() }
    }
}

#[cfg(not(target_family = "wasm"))]
impl ModelFiles for FolderFiles {
    fn name(&self) -> String {
        let name = self.path.file_name().map_or_else(|| self.path.to_string_lossy(), |name| name.to_string_lossy());
        name.into_owned()
    }

    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>> {
        let path = self.path.join(file);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(FileBytes::Owned(bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.file(file)?.map(|(_, len)| len))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        let (handle, actual) = self.file(file)?.ok_or_else(|| self.absent(file))?;
        region_end(file, offset, len, actual)?;
        if len == 0 {
            return Ok(FileBytes::Borrowed(&[]));
        }
        let too_large =
            |_| Error::BadFile { file: file.into(), reason: format!("{len} bytes are too many for this machine") };
        let size = usize::try_from(len).map_err(too_large)?;
        // SAFETY: the map is read-only and private, and lives no longer than the read of one tensor. What the type
        // system cannot rule out is another process that rewrites the file meanwhile: files of a model cache are
        // replaced by rename, never written in place, and the region was just checked to lie within the file.
        let map = unsafe { memmap2::MmapOptions::new().offset(offset).len(size).map_copy_read_only(&handle) };
        map.map(FileBytes::Mapped).map_err(|source| Error::Io { path: self.path.join(file), source })
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
