//! From the name after `--model` to a model's shape. Nothing is downloaded, and no weights are looked for.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use understory_lab::predict::models::{self, ModelShape};
use understory_model::config::ModelConfig;
use understory_model::files::{FolderFiles, ModelFiles};
use understory_model::gguf::is_gguf;

use crate::hub::{self, HubName};
use crate::models::BUNDLED;

/// Finds `name`: a model known by name, a bundled one, a folder or a file, a repository in the hub's cache.
pub fn find(name: &str) -> Result<ModelShape> {
    if let Some(model) = models::model(name)? {
        return Ok(model.shape()?);
    }
    if let Some(bundled) = BUNDLED.iter().find(|model| model.name == name) {
        let config = ModelConfig::from_files(bundled)?;
        return Ok(ModelShape { label: name.into(), source: "inside the program".into(), config });
    }
    let path = Path::new(name);
    if path.exists() {
        return at(name, path);
    }
    if let Some(hub_name) = HubName::parse(name)
        && let Some(path) = hub::cached_model(&hub_name)?
    {
        return at(name, &path);
    }
    let bundled = BUNDLED.map(|model| format!("`{}`", model.name)).join(", ");
    bail!(
        "there is no model `{name}`: expected a name of --list-models, {bundled}, a folder with a config.json, such a \
         file, a GGUF file, or a repository that is in the hub's cache (`understory models`)"
    )
}

/// A folder, a configuration or a GGUF file.
fn at(name: &str, path: &Path) -> Result<ModelShape> {
    let of_gguf = |files: &FolderFiles| {
        let config = ModelConfig::from_files(files)?;
        Ok(ModelShape { label: name.into(), source: path.display().to_string(), config })
    };
    if is_gguf(&path.to_string_lossy()) && path.is_file() {
        return of_gguf(&FolderFiles::open(path)?);
    }
    match FolderFiles::open(path) {
        Ok(files) if files.gguf().is_some() => of_gguf(&files),
        _ if path.is_dir() => read(name, &path.join("config.json")),
        _ => read(name, path),
    }
}

fn read(name: &str, file: &Path) -> Result<ModelShape> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let config = ModelConfig::from_json(&text, None).with_context(|| format!("{}", file.display()))?;
    Ok(ModelShape { label: name.into(), source: file.display().to_string(), config })
}
