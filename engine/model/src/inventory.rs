//! What a model's files hold, for people to look at: every tensor, whether a model of its kind needs it or not.

use understory_protocol::Result;

use crate::files::ModelFiles;
use crate::gguf::{ARCHITECTURE, Gguf};
use crate::safetensors::{read_header, weight_files};

/// A tensor of a model's files.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    pub name: String,
    /// the type's name in its file
    pub type_name: String,
    /// the row's length last
    pub shape: Vec<u64>,
    /// `None`: of a type whose size is not known
    pub bytes: Option<u64>,
    pub file: String,
}

/// A model's files as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// `GGUF` or `safetensors`
    pub format: &'static str,
    /// names of the files that hold the tensors
    pub files: Vec<String>,
    /// the bytes of these files
    pub bytes: u64,
    /// the name that a GGUF file gives its model
    pub title: Option<String>,
    /// what a GGUF file says of its tokenizer: its kind and how it splits a text
    pub tokenizer: Vec<String>,
    /// in the order in which they lie in the files
    pub tensors: Vec<StoredTensor>,
}

impl Inventory {
    /// Reads the headers alone.
    ///
    /// # Errors
    /// Those of reading a header.
    pub fn read(files: &dyn ModelFiles) -> Result<Self> {
        let gguf = Gguf::open(files)?;
        let mut placed = Vec::new();
        let names = match &gguf {
            Some(gguf) => {
                placed.extend(gguf.tensors()?.into_iter().map(|(name, (file, entry))| (file, name, entry)));
                gguf.file_names()?
            }
            None => {
                let names = weight_files(files)?;
                for file in &names {
                    let entries = read_header(files, file)?.into_iter();
                    placed.extend(entries.map(|(name, entry)| (file.clone(), name, entry)));
                }
                names
            }
        };
        placed.sort_by(|a, b| (&a.0, a.2.offset, &a.1).cmp(&(&b.0, b.2.offset, &b.1)));
        let tensors = placed.into_iter().map(|(file, name, entry)| StoredTensor {
            name,
            // The size of what is not read is known in safetensors alone.
            bytes: (entry.stored.is_some() || gguf.is_none()).then_some(entry.len),
            type_name: entry.type_name,
            shape: entry.shape,
            file,
        });
        let tensors = tensors.collect();
        let mut bytes = 0;
        for name in &names {
            bytes += files.len(name)?.unwrap_or(0);
        }
        let text = |key| gguf.as_ref().map(|gguf| gguf.text(key)).transpose().map(Option::flatten);
        let tokenizer = [text("tokenizer.ggml.model")?, text("tokenizer.ggml.pre")?];
        Ok(Self {
            format: if gguf.is_some() { "GGUF" } else { "safetensors" },
            files: names,
            bytes,
            title: text("general.name")?.map(Into::into),
            tokenizer: tokenizer.into_iter().flatten().map(Into::into).collect(),
            tensors,
        })
    }
}

/// The architecture that a GGUF model names, known or not; `None` where the model is not in GGUF.
///
/// # Errors
/// Those of reading the header.
pub fn gguf_architecture(files: &dyn ModelFiles) -> Result<Option<String>> {
    let Some(gguf) = Gguf::open(files)? else { return Ok(None) };
    Ok(gguf.text(ARCHITECTURE)?.map(Into::into))
}
