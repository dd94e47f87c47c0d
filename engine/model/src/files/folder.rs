//! A model on disk, in a folder or in GGUF files, read by position.
//!
//! Files are not mapped into memory: the folder is the user's, another program may shorten a file at any time, and an
//! access to a mapped page beyond the new end ends the process. Only regular files (and links to such) are opened: a read
//! of a named pipe or a device may wait for ever, or never end.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use understory_protocol::{Error, Result};

use super::{FileBytes, ModelFiles, region_end};
use crate::gguf;

/// A model on disk: a folder in the layout of a Hugging Face repository, or GGUF files.
pub struct FolderFiles {
    path: PathBuf,
    /// the first file of a model in GGUF
    gguf: Option<String>,
}

impl FolderFiles {
    /// A folder, or a GGUF file. In a folder a complete model in safetensors goes before GGUF files, of which there may be
    /// one model. Projectors for images (`mmproj-...`) do not count.
    ///
    /// # Errors
    /// [`Error::NotAModel`] names the first of the files a model needs that the folder lacks; [`Error::SeveralModels`] for
    /// a folder of several GGUF models; [`Error::Io`] for one that cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let not_a_model = |path: PathBuf, missing: &str| Error::NotAModel { path, missing: missing.into() };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).filter(|name| gguf::is_gguf(name));
        if let Some(name) = name.filter(|_| path.is_file()) {
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Self::gguf(folder.to_owned(), &name);
        }
        let missing = if !path.is_dir() {
            "the folder itself"
        } else if !path.join("config.json").is_file() {
            "config.json"
        } else if !path.join("tokenizer.json").is_file() {
            "tokenizer.json"
        } else if !["model.safetensors", "model.safetensors.index.json"].iter().any(|f| path.join(f).is_file()) {
            "model.safetensors"
        } else {
            return Ok(Self { path, gguf: None });
        };
        if !path.is_dir() {
            return Err(not_a_model(path, missing));
        }
        let mut found = gguf_models(&path)?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(not_a_model(path, missing)),
            (Some(one), true) => Self::gguf(path, &one),
            (Some(last), false) => {
                found.push(last);
                Err(Error::SeveralModels { path, found })
            }
        }
    }

    /// A GGUF model by the name of any of its files.
    fn gguf(path: PathBuf, name: &str) -> Result<Self> {
        let first = gguf::first_of(name);
        match gguf::parts(&first).into_iter().find(|part| !path.join(part).is_file()) {
            Some(missing) => Err(Error::NotAModel { path: path.join(name), missing }),
            None => Ok(Self { path, gguf: Some(first) }),
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
        if let Some(file) = &self.gguf {
            return gguf::model_name(file).into();
        }
        let name = self.path.file_name().map_or_else(|| self.path.to_string_lossy(), |name| name.to_string_lossy());
        name.into_owned()
    }

    fn gguf(&self) -> Option<String> {
        self.gguf.clone()
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

/// The first files of the GGUF models in a folder, sorted.
fn gguf_models(folder: &Path) -> Result<Vec<String>> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if gguf::is_gguf(&name) && !name.starts_with("mmproj") && entry.path().is_file() {
            found.insert(gguf::first_of(&name));
        }
    }
    Ok(found.into_iter().collect())
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
