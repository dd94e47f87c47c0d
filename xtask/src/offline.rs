//! What the page's service worker has to know of the built page: its files and their version.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

const WORKER: &str = "sw.js";
/// Not the page's own: the worker itself, and the page that only tests use.
const LEFT_OUT: [&str; 2] = [WORKER, "blank.html"];

/// Puts the list of `dist`'s files, and the version that follows from it, before the service worker's script. So its
/// bytes change with every file of the page, which is how a browser notices a new version.
///
/// # Errors
/// If a file cannot be read or the script cannot be written.
pub fn write(dist: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    list(dist, "", &mut files)?;
    let worker = dist.join(WORKER);
    let script = fs::read_to_string(&worker).with_context(|| format!("cannot read {}", worker.display()))?;
    fs::write(&worker, head(&files) + &script)?;
    Ok(())
}

/// The files of `folder` by their path from the page, with their SHA-256. Models are kept by the engine's worker: of
/// them only what lies in `models` itself.
fn list(folder: &Path, path: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = format!("{path}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if path != "models/" {
                list(&entry.path(), &format!("{name}/"), files)?;
            }
        } else if !LEFT_OUT.contains(&name.as_str()) {
            files.insert(name, hex(&Sha256::digest(fs::read(entry.path())?)));
        }
    }
    Ok(())
}

fn head(files: &BTreeMap<String, String>) -> String {
    let list: Vec<String> = files.iter().map(|(name, hash)| format!(r#""{name}":"{hash}""#)).collect();
    let list = format!("{{{}}}", list.join(","));
    let version = hex(&Sha256::digest(&list));
    format!("const VERSION = \"{}\";\nconst FILES = {list};\n", &version[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version made of names alone, or of the script alone, fails this.
    #[test]
    fn the_version_follows_the_contents() {
        let of = |hash: &str| head(&BTreeMap::from([("index.html".to_owned(), hash.to_owned())]));
        let version = |head: String| head.lines().next().map(str::to_owned);
        assert_eq!(version(of("00")), version(of("00")));
        assert_ne!(version(of("00")), version(of("01")));
    }

    /// Models would be fetched twice, and kept twice, if they were listed.
    #[test]
    fn models_and_the_worker_itself_are_left_out() -> Result<()> {
        let dist = std::env::temp_dir().join(format!("understory-offline-{}", std::process::id()));
        fs::create_dir_all(dist.join("models/tales"))?;
        for file in ["index.html", "sw.js", "models/index.json", "models/tales/model.safetensors"] {
            fs::write(dist.join(file), "x")?;
        }
        let mut files = BTreeMap::new();
        let listed = list(&dist, "", &mut files);
        fs::remove_dir_all(&dist)?;
        listed?;
        assert_eq!(files.into_keys().collect::<Vec<_>>(), ["index.html", "models/index.json"]);
        Ok(())
    }
}
