//! Good inputs: the repository's own fixtures, and the target's folder under `fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The file `path` of the repository.
pub fn file(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `file` of every model in `fixtures` that has it.
pub fn fixtures(file: &str) -> Vec<Vec<u8>> {
    let found: Vec<Vec<u8>> = contents(&root().join("fixtures"), |folder| folder.join(file));
    assert!(!found.is_empty(), "no fixture has a {file}");
    found
}

/// What the target's own folder holds.
pub fn own(target: &str) -> Vec<Vec<u8>> {
    contents(&root().join("fuzz/corpus").join(target), Path::to_owned)
}

/// In the order of names, so that a seed means the same everywhere.
fn contents(folder: &Path, path: impl Fn(&Path) -> PathBuf) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| path(&entry.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}
