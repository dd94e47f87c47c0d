//! The models that the cache holds.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use understory_model::files::FolderFiles;
use understory_model::gguf::{first_of, parts};
use understory_model::inventory::gguf_architecture;
use understory_model::repository::{CONFIG, GgufChoice, is_hash};

use super::HubName;
use super::snapshot::{Snapshot, commit_of, read_small};

/// Bytes of a configuration.
const MOST_CONFIG_BYTES: u64 = 16 << 20;
/// Names of revisions have few slashes.
const MOST_DEPTH: usize = 8;
/// Revisions of one repository that are looked at.
const MOST_REVISIONS: usize = 1000;

/// A model in the cache.
#[derive(Debug, Serialize)]
pub struct CachedModel {
    /// as `--model` takes it
    pub name: String,
    pub commit: String,
    pub folder: PathBuf,
    /// `model_type` of its configuration
    pub architecture: Option<String>,
    /// of the files that are there
    pub bytes: u64,
    /// names of needed files that are not there; empty = usable offline
    pub missing: Vec<String>,
}

/// Every model repository in the cache, by name and revision; one without a configuration is not a model of ours.
pub fn list(cache: &Path) -> Vec<CachedModel> {
    let mut models = Vec::new();
    for (folder_name, root, _) in entries(cache) {
        // Old entries without an owner have names that `--model` does not take.
        let Some((owner, name)) = folder_name.strip_prefix("models--").and_then(|name| name.split_once("--")) else {
            continue;
        };
        let repo = format!("{owner}/{name}");
        for (revision, commit) in revisions(&root) {
            let snapshot = Snapshot::at(&root, &commit);
            let in_gguf = gguf_models(&snapshot, &repo, &revision, &commit);
            let missing = snapshot.missing();
            let is_only_gguf = !in_gguf.is_empty() && !missing.is_empty();
            models.extend(in_gguf);
            if is_only_gguf {
                continue;
            }
            let Ok(config) = read_small(&snapshot.folder.join(CONFIG), MOST_CONFIG_BYTES) else { continue };
            let files = entries(&snapshot.folder).into_iter().filter_map(|(_, file, _)| fs::metadata(file).ok());
            models.push(CachedModel {
                name: HubName { repo: repo.clone(), revision, gguf: None }.to_string(),
                architecture: model_type(&config),
                bytes: files.filter(|file| file.is_file()).map(|file| file.len()).sum(),
                missing,
                folder: snapshot.folder,
                commit,
            });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}

/// The GGUF models of a snapshot that are there whole.
fn gguf_models(snapshot: &Snapshot, repo: &str, revision: &str, commit: &str) -> Vec<CachedModel> {
    let names = snapshot.gguf_names();
    let firsts: BTreeSet<String> = names.iter().map(|name| first_of(name)).collect();
    let model = |first: String| {
        let choice = GgufChoice::File(first);
        let path = snapshot.model(Some(&choice)).ok()?;
        let files = FolderFiles::open(&path).ok()?;
        let GgufChoice::File(first) = &choice else { return None };
        let sizes =
            parts(first).into_iter().map(|part| fs::metadata(snapshot.folder.join(part)).map_or(0, |file| file.len()));
        Some(CachedModel {
            bytes: sizes.sum(),
            architecture: gguf_architecture(&files).ok().flatten(),
            name: HubName { repo: repo.into(), revision: revision.into(), gguf: Some(choice) }.to_string(),
            commit: commit.into(),
            folder: snapshot.folder.clone(),
            missing: Vec::new(),
        })
    };
    firsts.into_iter().filter_map(model).collect()
}

/// Revisions of a repository and their commits: branches and tags, and commits that none of them means.
fn revisions(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    below(&root.join("refs"), "", MOST_DEPTH, &mut found);
    let mut revisions: Vec<(String, String)> =
        found.into_iter().filter_map(|(revision, path)| Some((revision, commit_of(&path)?))).collect();
    revisions.retain(|(revision, commit)| revision != commit);
    let named: HashSet<String> = revisions.iter().map(|(_, commit)| commit.clone()).collect();
    let snapshots = entries(&root.join("snapshots")).into_iter().map(|(name, ..)| name);
    let commits = snapshots.filter(|commit| is_hash(commit) && !named.contains(commit));
    revisions.extend(commits.take(MOST_REVISIONS).map(|commit| (commit.clone(), commit)));
    revisions
}

/// `model_type` of a config.json.
pub fn model_type(config: &[u8]) -> Option<String> {
    let config: Value = serde_json::from_slice(config).ok()?;
    Some(config.get("model_type")?.as_str()?.to_owned())
}

/// Files below a folder with their names relative to it (names of revisions may hold slashes). Links are not followed:
/// no tool makes any here, and they may lead in circles.
fn below(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<(String, PathBuf)>) {
    for (name, path, kind) in entries(folder) {
        let name = format!("{prefix}{name}");
        if found.len() >= MOST_REVISIONS {
            return;
        } else if kind.is_file() {
            found.push((name, path));
        } else if kind.is_dir() && depth > 1 {
            below(&path, &format!("{name}/"), depth - 1, found);
        }
    }
}

/// Names, paths and kinds in a folder; none where it cannot be read.
fn entries(folder: &Path) -> Vec<(String, PathBuf, FileType)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let entry =
        |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path(), entry.file_type().ok()?));
    entries.flatten().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Following links fails this: two of them in a folder lead along every path of turns.
    #[test]
    #[cfg(unix)]
    fn links_among_revisions_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let refs = root.path().join("refs");
        fs::create_dir_all(refs.join("pr")).unwrap();
        fs::write(refs.join("main"), "a".repeat(40)).unwrap();
        fs::write(refs.join("pr/1"), "b".repeat(40)).unwrap();
        for name in ["one", "two", "pr/three"] {
            std::os::unix::fs::symlink(&refs, refs.join(name)).unwrap();
        }
        let mut found = revisions(root.path());
        found.sort();
        assert_eq!(found, [("main".into(), "a".repeat(40)), ("pr/1".into(), "b".repeat(40))]);
    }

    /// Joining what an entry says to a path fails this.
    #[test]
    fn an_entry_that_names_no_commit_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let refs = root.path().join("refs");
        fs::create_dir_all(&refs).unwrap();
        for (name, says) in [("up", "../../x"), ("root", "/etc"), ("empty", ""), ("long", &"a".repeat(9999))] {
            fs::write(refs.join(name), says).unwrap();
        }
        assert_eq!(revisions(root.path()), []);
    }

    #[test]
    fn revisions_are_bounded_in_depth_and_number() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("refs").join("d/".repeat(MOST_DEPTH + 3));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("main"), "a".repeat(40)).unwrap();
        for i in 0..MOST_REVISIONS + 20 {
            fs::write(root.path().join("refs").join(format!("r{i}")), "a".repeat(40)).unwrap();
        }
        assert_eq!(revisions(root.path()).len(), MOST_REVISIONS);
    }
}
