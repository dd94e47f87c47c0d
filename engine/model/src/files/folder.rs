//! A model in a folder on disk, read by position.
//!
//! Files are not mapped into memory: the folder is the user's, another program may shorten a file at any time, and an
//! access to a mapped page beyond the new end ends the process. Only regular files (and links to such) are opened: a read
//! of a named pipe or a device may wait for ever, or never end.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use understory_protocol::{Error, Result};

use super::{FileBytes, ModelFiles, region_end};

/// A folder on disk.
pub struct FolderFiles {
    path: PathBuf,
}

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
        let regular = |metadata: Metadata| match metadata.is_file() {
            true => Ok(metadata.len()),
            false => Err(Error::BadFile { file: file.into(), reason: "is not a regular file".into() }),
        };
        // Before it is opened, which waits at a pipe, and after, since it may be another by then.
        match std::fs::metadata(&path) {
            Ok(metadata) => regular(metadata)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let handle = File::open(&path).map_err(io)?;
        let len = regular(handle.metadata().map_err(io)?)?;
        Ok(Some((handle, len)))
    }
}

impl ModelFiles for FolderFiles {
    fn name(&self) -> String {
        let name = self.path.file_name().map_or_else(|| self.path.to_string_lossy(), |name| name.to_string_lossy());
        name.into_owned()
    }

    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>> {
        let Some((handle, len)) = self.file(file)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        match handle.take(len).read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(FileBytes::Owned(bytes))),
            Err(source) => Err(Error::Io { path: self.path.join(file), source }),
        }
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.file(file)?.map(|(_, len)| len))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        let absent = || Error::NotAModel { path: self.path.clone(), missing: file.into() };
        let (handle, actual) = self.file(file)?.ok_or_else(absent)?;
        let end = region_end(file, offset, len, actual)?;
        let too_large =
            |_| Error::BadFile { file: file.into(), reason: format!("{len} bytes are too many for this machine") };
        let mut bytes = vec![0; usize::try_from(len).map_err(too_large)?];
        let read =
            read_at(&handle, offset, &mut bytes).map_err(|source| Error::Io { path: self.path.join(file), source })?;
        if read < bytes.len() {
            return Err(Error::Truncated { file: file.into(), expected: end, actual: offset + read as u64 });
        }
        Ok(FileBytes::Owned(bytes))
    }
}

/// Fills `bytes` from `offset` on; returns how many there were before the end of the file.
fn read_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match read_some_at(file, offset + filled as u64, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(unix)]
fn read_some_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_some_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that another handle shortens after it was opened: what is left is read, and nothing beyond it. A loop
    /// that expects all of the bytes never ends here; a map of the file ends the process.
    #[test]
    fn a_file_that_shrinks_is_read_up_to_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(file.path(), &content).unwrap();
        let opened = File::open(file.path()).unwrap();
        let mut bytes = vec![0; 60_000];
        assert_eq!(read_at(&opened, 30_000, &mut bytes).unwrap(), 60_000);
        assert_eq!(bytes, content[30_000..90_000]);
        file.as_file().set_len(40_000).unwrap();
        let mut bytes = vec![0; 60_000];
        assert_eq!(read_at(&opened, 30_000, &mut bytes).unwrap(), 10_000);
        assert_eq!(bytes[..10_000], content[30_000..40_000]);
        assert_eq!(read_at(&opened, 50_000, &mut bytes).unwrap(), 0);
    }
}
