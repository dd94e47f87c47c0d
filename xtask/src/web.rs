//! The page: `web/dist`, which any static host can serve from any folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{offline, process, wasm};

const MODELS: [&str; 2] = ["tales", "tales-draft"];
/// Models worth trying: a file of its own, so that the page's code stays small.
const CATALOGUE: &str = "catalogue.json";
const MODEL_FILES: [&str; 5] =
    ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

/// Builds the page and returns its folder.
///
/// # Errors
/// If something does not compile or cannot be written.
pub fn build() -> Result<PathBuf> {
    let root = process::root()?;
    let (web, dist) = (root.join("web"), root.join("web/dist"));
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    fs::create_dir_all(&dist)?;
    module("understory-web-worker", "engine", &dist)?;
    module("understory-web-page", "page", &dist)?;
    copy_folder(&web.join("static"), &dist)?;
    let mut index = Vec::new();
    for model in MODELS {
        let mut files = Vec::new();
        let to = dist.join("models").join(model);
        fs::create_dir_all(&to)?;
        for file in MODEL_FILES {
            let from = root.join("models").join(model).join(file);
            copy(&from, &to.join(file))?;
            let bytes = fs::read(&from)?;
            let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            files.push(format!(r#""{file}":{{"bytes":{},"sha256":"{hash}"}}"#, bytes.len()));
        }
        index.push(format!(r#""{model}":{{{}}}"#, files.join(",")));
    }
    copy(&root.join("models").join(CATALOGUE), &dist.join("models").join(CATALOGUE))?;
    fs::write(dist.join("models/index.json"), format!("{{{}}}\n", index.join(",\n")))?;
    offline::write(&dist)?;
    Ok(dist)
}

/// Whether there is a page, of whatever state of the code.
///
/// # Errors
/// Those of [`process::root`].
pub fn is_built() -> Result<bool> {
    Ok(process::root()?.join("web/dist/index.html").is_file())
}

/// Compiles `package` to `dist/NAME.js` and `dist/NAME_bg.wasm`.
fn module(package: &str, name: &str, dist: &Path) -> Result<()> {
    process::run(wasm::cargo()?.args(["build", "--profile", "web", "--package", package, "--target", wasm::TARGET]))?;
    let built = target_folder()?.join(wasm::TARGET).join("web").join(format!("{}.wasm", package.replace('-', "_")));
    let mut bindgen: Command = process::cargo();
    bindgen.args(["run", "--release", "--package", "understory-bindgen", "--"]).arg(built).arg(dist).arg(name);
    process::run(&mut bindgen)
}

fn target_folder() -> Result<PathBuf> {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Ok(process::root()?.join(chosen))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
