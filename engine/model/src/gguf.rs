//! GGUF, the model files of llama.cpp: one file, or several of one model, holds metadata and tensors. The container
//! alone; what the keys and tensors mean is said where a configuration, weights or a tokenizer are made of them.
//!
//! Files are read by ranges: the header a window at a time, lists of the metadata when they are asked for, tensors never.

mod header;
mod split;
mod types;
mod value;
mod window;

use std::collections::HashMap;

use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

use self::header::Header;
pub(crate) use self::types::KNOWN as KNOWN_TYPES;
use self::value::MAX_STRING;
pub(crate) use self::value::{List, Value};
use self::window::Window;
use crate::files::ModelFiles;
use crate::stored::TensorEntry;

pub use self::split::{first_of, is_gguf, model_name, parts};

const ALIGNMENT: &str = "general.alignment";
pub(crate) const ARCHITECTURE: &str = "general.architecture";

/// The header of a GGUF model.
pub(crate) struct Gguf<'a> {
    files: &'a dyn ModelFiles,
    /// the first file, which has the metadata
    pub file: String,
    metadata: HashMap<String, Value>,
    places: Vec<(String, u64, u64)>,
    tensors: HashMap<String, TensorEntry>,
}

impl<'a> Gguf<'a> {
    /// The header of the first file; `None` where the model is not in GGUF.
    ///
    /// # Errors
    /// [`Error::BadFile`], [`Error::Truncated`], [`Error::NotAModel`], [`Error::Io`] for a file that is none or is absent.
    pub fn open(files: &'a dyn ModelFiles) -> Result<Option<Self>> {
        let Some(file) = files.gguf() else { return Ok(None) };
        let Header { metadata, places, tensors } = Header::read(files, &file)?;
        Ok(Some(Self { files, file, metadata, places, tensors }))
    }

    /// The tensors of all files of the model, and the file of each.
    ///
    /// # Errors
    /// As [`Gguf::open`], and [`Error::BadFile`] for files that do not belong together.
    pub fn tensors(&self) -> Result<HashMap<String, (String, TensorEntry)>> {
        let own = self.tensors.iter().map(|(name, entry)| (name.clone(), (self.file.clone(), entry.clone())));
        let mut all: HashMap<_, _> = own.collect();
        for file in split::others(self)? {
            let header = Header::read(self.files, &file)?;
            split::check_other(self, &file, &header)?;
            for (name, entry) in header.tensors {
                if all.contains_key(&name) {
                    let reason = format!("has the tensor `{}`, which another file has too", shown(&name));
                    return Err(Error::BadFile { file, reason });
                }
                all.insert(name, (file.clone(), entry));
            }
        }
        split::check_count(self, all.len())?;
        Ok(all)
    }

    /// Names of all files of the model, the first one first.
    pub fn file_names(&self) -> Result<Vec<String>> {
        Ok([vec![self.file.clone()], split::others(self)?].concat())
    }

    pub fn files(&self) -> &'a dyn ModelFiles {
        self.files
    }

    /// Whether the first file has a tensor of this name.
    pub fn has_own_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// Keys that begin with `prefix`, without it, in the file's order.
    pub fn under<'b>(&'b self, prefix: &'b str) -> impl Iterator<Item = (&'b str, &'b Value)> {
        let rest = self.places.iter().filter_map(move |(key, ..)| Some((key, key.strip_prefix(prefix)?)));
        rest.filter_map(|(key, rest)| Some((rest, self.metadata.get(key)?)))
    }

    /// An error about a key.
    pub fn bad(&self, key: &str, reason: impl Into<String>) -> Error {
        Error::BadConfig { file: self.file.clone(), key: key.into(), reason: reason.into() }
    }

    /// # Errors
    /// [`Error::BadConfig`] for a value of another type.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(key, "is no string")),
        }
    }

    /// # Errors
    /// [`Error::BadConfig`] for a value of another type.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.bad(key, "is neither true nor false")),
        }
    }

    /// # Errors
    /// [`Error::BadConfig`] for a value of another type.
    pub fn token(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let token = value.count().and_then(|id| u32::try_from(id).ok());
        // What has no token there is written as -1.
        match (token, value) {
            (None, Value::Signed(-1) | Value::Unsigned(0xffff_ffff)) | (Some(u32::MAX), _) => Ok(None),
            (None, _) => Err(self.bad(key, "is no token id")),
            (id, _) => Ok(id),
        }
    }

    fn list(&self, key: &str) -> Result<Option<List>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::List(list)) => Ok(Some(*list)),
            Some(_) => Err(self.bad(key, "is no list")),
        }
    }

    /// Calls `each` with the bytes of every string of a list, and says whether there is one.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a value of another type; those of reading, and of `each`.
    pub fn each_text(&self, key: &str, mut each: impl FnMut(&str) -> Result<()>) -> Result<bool> {
        let Some(list) = self.list(key)? else { return Ok(false) };
        if list.kind != value::STRING {
            return Err(self.bad(key, "is no list of strings"));
        }
        let mut window = self.window(list)?;
        for _ in 0..list.count {
            let bytes = window.string("a string", MAX_STRING)?;
            let text = std::str::from_utf8(bytes).map_err(|_| self.bad(key, "has a string that is not UTF-8"))?;
            each(text)?;
        }
        Ok(true)
    }

    /// A list of strings.
    ///
    /// # Errors
    /// As [`Gguf::each_text`].
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        let mut texts = Vec::new();
        let found = self.each_text(key, |text| {
            texts.push(text.to_owned());
            Ok(())
        })?;
        Ok(found.then_some(texts))
    }

    /// A list of numbers or truth values, at most `max` of them, each as `of` has it.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a value of another type or a longer list; those of reading.
    pub fn scalars<T>(&self, key: &str, max: usize, of: impl Fn(Value) -> T) -> Result<Option<Vec<T>>> {
        let Some(list) = self.list(key)? else { return Ok(None) };
        if list.count > max as u64 {
            return Err(self.bad(key, format!("lists {} values; at most {max} are expected", list.count)));
        }
        let mut window = self.window(list)?;
        let scalars = (0..list.count).map(|_| Value::scalar(&mut window, list.kind, key).map(&of));
        scalars.collect::<Result<_>>().map(Some)
    }

    fn window(&self, list: List) -> Result<Window<'_>> {
        let mut window = Window::open(self.files, &self.file)?;
        window.skip(list.offset)?;
        Ok(window)
    }

    /// Entries of the metadata as the file has them, name and bytes, in its order.
    ///
    /// # Errors
    /// Those of reading.
    pub fn each_stored(&self, prefix: &str, mut each: impl FnMut(&str, &[u8])) -> Result<()> {
        for (key, offset, len) in self.places.iter().filter(|(key, ..)| key.starts_with(prefix)) {
            each(key, &self.files.range(&self.file, *offset, *len)?);
        }
        Ok(())
    }
}
