//! Models from the Hugging Face hub, through hf-hub and in its cache, so that what other tools have downloaded is
//! found and the other way round.
//!
//! A model that is whole in the cache is used without any network access. Otherwise the revision is resolved to a
//! commit, every file comes from that one commit, and the revision's entry in the cache is written last: an
//! interrupted download is never taken for a model.

mod cache;
mod download;
mod failure;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use hf_hub::{Cache, Repo, RepoType};

use cache::Snapshot;
pub use cache::{list, model_type};
pub use failure::Unavailable;
pub use understory_model::repository::HubName;

use crate::output::Console;

/// `name` at `revision`, as hf-hub has it.
fn repo(name: &HubName, revision: &str) -> Repo {
    Repo::with_revision(name.repo.clone(), RepoType::Model, revision.into())
}

/// Hears, besides the console, how much of a file is here: bytes so far, and of the whole.
pub type Observer = Arc<dyn Fn(u64, u64)>;

/// The hub as the environment describes it.
pub struct Hub {
    cache: Cache,
    endpoint: String,
    token: Option<String>,
    offline: bool,
    console: Console,
    observer: Option<Observer>,
}

impl Hub {
    /// Reads `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` (or the token file of the other tools) and `HF_HUB_OFFLINE`.
    pub fn from_env(offline: bool, console: Console) -> Result<Self> {
        let cache = cache_from_env()?;
        let endpoint = env("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let truthy = |value: String| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
        Ok(Self {
            token: env("HF_TOKEN").or_else(|| cache.token()),
            endpoint: endpoint.trim_end_matches('/').into(),
            offline: offline || env("HF_HUB_OFFLINE").is_some_and(truthy),
            cache,
            console,
            observer: None,
        })
    }

    /// The same hub, with its downloads observed.
    pub fn observed(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The folder with the model's files, downloaded where they are not in the cache.
    pub fn fetch(&self, name: &HubName) -> Result<PathBuf> {
        let cached = Snapshot::find(&self.cache, name);
        let missing = cached.as_ref().map(|snapshot| snapshot.missing());
        let whole = missing.as_ref().is_some_and(Vec::is_empty);
        if let Some(snapshot) = &cached
            && whole
            && (self.offline || snapshot.optional_files_known())
        {
            return Ok(snapshot.folder.clone());
        }
        if self.offline {
            let what = match missing {
                Some(files) => format!("{} of {name} is missing from", files.join(", ")),
                None => format!("{name} is not in"),
            };
            let cache = self.cache.path().display();
            return Err(Unavailable {
                what: format!("{what} the cache {cache}, and --offline (or HF_HUB_OFFLINE) forbids the network"),
                advice: Some("Run once without it to download.".into()),
            }
            .into());
        }
        match (self.download(name), cached) {
            (Ok(folder), _) => Ok(folder),
            (Err(failure), Some(snapshot)) if whole && failure.is_unreachable() => {
                let Unavailable { what, .. } = failure.explain(name, &self.endpoint);
                self.console.note(&format!("note: {what}; using the cached copy"));
                Ok(snapshot.folder)
            }
            (Err(failure), _) => Err(failure.explain(name, &self.endpoint).into()),
        }
    }
}

/// hf-hub's cache. Its own constructor panics where there is no home directory.
pub fn cache_from_env() -> Result<Cache> {
    match env("HF_HOME") {
        Some(home) => Ok(Cache::new(Path::new(&home).join("hub"))),
        None => match std::env::home_dir() {
            Some(home) => Ok(Cache::new(home.join(".cache").join("huggingface").join("hub"))),
            None => bail!("there is no home directory for the model cache; set HF_HOME to a folder"),
        },
    }
}

/// The folder of what the cache holds of a repository, be it a whole model or its configuration alone.
pub fn cached_folder(name: &HubName) -> Result<Option<PathBuf>> {
    Ok(Snapshot::find(&cache_from_env()?, name).map(|snapshot| snapshot.folder))
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}
