//! From the name after `--model` or `--draft` to a model's files.

use std::path::Path;

use anyhow::{Result, bail};
use understory_model::files::{FolderFiles, ModelFiles, StaticFiles};
use understory_model::gguf::is_gguf;
use understory_protocol::Error;

use crate::hub::{Hub, HubName};
use crate::output::Console;

/// A model that was found.
pub struct Found {
    /// As the user named it.
    pub label: String,
    pub files: Box<dyn ModelFiles>,
}

macro_rules! bundled {
    ($name:literal) => {
        bundled!($name: "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
            "tokenizer_config.json")
    };
    ($name:literal: $($file:literal),+) => {
        StaticFiles {
            name: $name,
            files: &[$(($file, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/", $name, "/", $file)))),+],
        }
    };
}

/// The models inside the program.
pub static BUNDLED: [StaticFiles; 2] = [bundled!("tales"), bundled!("tales-draft")];

/// Finds `name`: a bundled model, else an existing folder or GGUF file, else a repository on the hub (downloaded if need be, unless
/// `offline`).
pub fn find(name: &str, offline: bool, console: &Console) -> Result<Found> {
    if let Some(bundled) = BUNDLED.iter().find(|model| model.name == name) {
        return Ok(Found { label: name.into(), files: Box::new(*bundled) });
    }
    let path = Path::new(name);
    if path.is_dir() || (path.is_file() && is_gguf(name)) {
        return Ok(Found { label: name.into(), files: Box::new(open(path)?) });
    }
    if path.is_file() {
        bail!(
            "{name} is a file; expected a GGUF file, or the folder that holds it, together with config.json and \
             tokenizer.json"
        );
    }
    if let Some(hub_name) = HubName::parse(name) {
        let model = Hub::from_env(offline, *console)?.fetch(&hub_name)?;
        return Ok(Found { label: name.into(), files: Box::new(open(&model)?) });
    }
    let bundled = BUNDLED.map(|model| format!("`{}`", model.name)).join(" or ");
    bail!(
        "there is no model `{name}`: expected {bundled} (inside the program), an existing folder with config.json, \
         tokenizer.json and model.safetensors, a GGUF file, or a repository on the Hugging Face hub as \
         owner/name[@revision], owner/name/FILE.gguf or owner/name:Q4_K_M"
    )
}

/// A model on disk.
pub fn open(path: &Path) -> Result<FolderFiles> {
    FolderFiles::open(path).map_err(|error| match &error {
        Error::SeveralModels { path, found } => {
            let example = found.first().map_or_else(|| path.clone(), |file| path.join(file));
            let advice = format!("name one of them, such as {}", example.display());
            anyhow::Error::new(error).context(advice)
        }
        _ => error.into(),
    })
}
