//! What the cache holds. The layout is the one that all Hugging Face tools share:
//! `models--owner--name/{refs/<revision>, snapshots/<commit>/<file>, .no_exist/<commit>/<file>}`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hf_hub::Cache;
use serde::Serialize;
use serde_json::Value;

use understory_model::repository::{self, CONFIG, OPTIONAL, TOKENIZER, WEIGHTS, WEIGHTS_INDEX};

use super::HubName;

/// The files of one commit of one repository.
pub struct Snapshot {
    pub folder: PathBuf,
    /// where the absence of a file in the repository is remembered
    absent: PathBuf,
    /// where the files' contents lie, named by their tags
    blobs: PathBuf,
}

impl Snapshot {
    /// The cached commit that `name` means; a full commit hash needs no entry among the revisions.
    pub fn find(cache: &Cache, name: &HubName) -> Option<Self> {
        let root = root(cache, name);
        let recorded = fs::read_to_string(root.join("refs").join(&name.revision)).ok();
        let commit = recorded.unwrap_or_else(|| name.revision.clone());
        let snapshot = Self::at(&root, commit.trim());
        snapshot.folder.is_dir().then_some(snapshot)
    }

    pub fn of_commit(cache: &Cache, name: &HubName, commit: &str) -> Self {
        Self::at(&root(cache, name), commit)
    }

    fn at(root: &Path, commit: &str) -> Self {
        Self {
            folder: root.join("snapshots").join(commit),
            absent: root.join(".no_exist").join(commit),
            blobs: root.join("blobs"),
        }
    }

    /// Where the contents with this tag lie; with the extension `part` while they arrive.
    pub fn blob(&self, tag: &str) -> PathBuf {
        self.blobs.join(tag)
    }

    /// Names of the files that a model cannot do without and that are not there.
    pub fn missing(&self) -> Vec<String> {
        let mut needed = vec![CONFIG.to_owned(), TOKENIZER.to_owned()];
        let index = self.folder.join(WEIGHTS_INDEX);
        if self.folder.join(WEIGHTS).is_file() || !index.is_file() {
            needed.push(WEIGHTS.into());
        } else {
            match shards(&index) {
                Ok(shards) => needed.extend(shards),
                Err(_) => needed.push(WEIGHTS_INDEX.into()),
            }
        }
        needed.retain(|file| !self.folder.join(file).is_file());
        needed
    }

    /// Whether each optional file is either here or known not to exist.
    pub fn optional_files_known(&self) -> bool {
        OPTIONAL.iter().all(|file| self.folder.join(file).is_file() || self.absent.join(file).is_file())
    }

    /// Remembers, as the Python client does, that the repository has no such file.
    pub fn remember_absent(&self, file: &str) -> std::io::Result<()> {
        fs::create_dir_all(&self.absent)?;
        fs::write(self.absent.join(file), "")
    }
}

fn root(cache: &Cache, name: &HubName) -> PathBuf {
    cache.path().join(super::repo(name, &name.revision).folder_name())
}

/// File names of the shards that a `model.safetensors.index.json` speaks of, each once, in order.
pub fn shards(index: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(index).with_context(|| format!("cannot read {}", index.display()))?;
    repository::shards(&text).map_err(anyhow::Error::msg)
}

/// A model in the cache.
#[derive(Debug, Serialize)]
pub struct CachedModel {
    /// `owner/name[@revision]`, as `--model` takes it
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
pub fn list(cache: &Cache) -> Vec<CachedModel> {
    let mut models = Vec::new();
    for (folder_name, root) in entries(cache.path()) {
        // Old entries without an owner have names that `--model` does not take.
        let Some((owner, name)) = folder_name.strip_prefix("models--").and_then(|name| name.split_once("--")) else {
            continue;
        };
        let repo = format!("{owner}/{name}");
        let mut revisions: Vec<(String, String)> = Vec::new();
        for (revision, path) in below(&root.join("refs"), "") {
            let commit = fs::read_to_string(path).unwrap_or_default().trim().to_owned();
            revisions.push((revision, commit));
        }
        // A download works under the commit's own name; that entry matters only where no branch or tag has it.
        let named: Vec<String> = revisions.iter().filter(|(r, c)| r != c).map(|(_, c)| c.clone()).collect();
        revisions.retain(|(revision, commit)| revision != commit || !named.contains(commit));
        for (revision, commit) in revisions {
            let snapshot = Snapshot::at(&root, &commit);
            let Ok(config) = fs::read(snapshot.folder.join(CONFIG)) else { continue };
            let files = entries(&snapshot.folder).into_iter().filter_map(|(_, file)| fs::metadata(file).ok());
            models.push(CachedModel {
                name: HubName { repo: repo.clone(), revision }.to_string(),
                architecture: model_type(&config),
                bytes: files.filter(|file| file.is_file()).map(|file| file.len()).sum(),
                missing: snapshot.missing(),
                folder: snapshot.folder,
                commit,
            });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}

/// `model_type` of a config.json.
pub fn model_type(config: &[u8]) -> Option<String> {
    let config: Value = serde_json::from_slice(config).ok()?;
    Some(config.get("model_type")?.as_str()?.to_owned())
}

/// Files below a folder with their names relative to it (names of revisions may hold slashes).
fn below(folder: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for (name, path) in entries(folder) {
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            found.extend(below(&path, &format!("{name}/")));
        } else {
            found.push((name, path));
        }
    }
    found
}

/// Names and paths in a folder; none where it cannot be read.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
}
