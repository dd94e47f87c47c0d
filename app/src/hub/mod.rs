//! Models from the Hugging Face hub, in the cache that its other tools share, so that what they have downloaded is
//! found and the other way round.
//!
//! A model that is whole in the cache is used without any network access. Otherwise the revision is resolved to a
//! commit, every file comes from that one commit and is checked against the hash that the list of files gives, and the
//! revision's entry in the cache is written last: an interrupted download is never taken for a model.

mod cache;
mod download;
mod environment;
mod failure;
mod http;
mod listing;
mod lock;
mod part;
mod progress;
mod snapshot;
mod transfer;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use cache::{list, model_type};
use environment::Environment;
use failure::DownloadFailure;
pub use failure::Unavailable;
pub use progress::Observer;
use snapshot::Snapshot;
pub use understory_model::repository::HubName;

use crate::output::Console;

/// The hub as the environment describes it.
pub struct Hub {
    cache: PathBuf,
    endpoint: String,
    token: Option<String>,
    offline: bool,
    console: Console,
    observer: Option<Observer>,
}

impl Hub {
    /// As [`Environment`] reads it.
    ///
    /// # Errors
    /// Those of [`cache_from_env`].
    pub fn from_env(offline: bool, console: Console) -> Result<Self> {
        let environment = Environment::current();
        Ok(Self {
            token: environment.any_token(),
            offline: offline || environment.offline,
            cache: cache_of(environment.cache)?,
            endpoint: environment.endpoint,
            console,
            observer: None,
        })
    }

    /// The same hub, with its downloads observed.
    pub fn observed(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The folder with the model's files, or the first of its GGUF files, downloaded where they are not in the cache.
    pub fn fetch(&self, name: &HubName) -> Result<PathBuf> {
        let cached = Snapshot::find(&self.cache, name);
        let found = cached.as_ref().map(|snapshot| snapshot.model(name.gguf.as_ref()));
        // Which GGUF model is meant where none is chosen, the repository alone knows.
        let is_known = |snapshot: &Snapshot, model: &PathBuf| {
            name.gguf.is_some() || (*model == snapshot.folder && snapshot.optional_files_known())
        };
        if let (Some(snapshot), Some(Ok(model))) = (&cached, &found)
            && (self.offline || is_known(snapshot, model))
        {
            return Ok(model.clone());
        }
        if self.offline {
            let what = match found.and_then(Result::err) {
                Some(files) => format!("{} of {name} is missing from", files.join(", ")),
                None => format!("{name} is not in"),
            };
            let cache = self.cache.display();
            return Err(Unavailable {
                what: format!("{what} the cache {cache}, and --offline (or HF_HUB_OFFLINE) forbids the network"),
                advice: Some("Run once without it to download.".into()),
            }
            .into());
        }
        match (self.download(name), found) {
            (Ok(model), _) => Ok(model),
            // Only files that a model may lack are unknown.
            (Err(failure), Some(Ok(model))) if !matches!(failure, DownloadFailure::Stopped) => {
                let Unavailable { what, .. } = failure.explain(name, &self.endpoint);
                self.console.note(&format!("note: {what}; using the cached copy"));
                Ok(model)
            }
            (Err(failure), _) => Err(failure.explain(name, &self.endpoint).into()),
        }
    }
}

/// The folder of the cache that all Hugging Face tools share.
///
/// # Errors
/// There is no home directory, and no variable names the cache.
pub fn cache_from_env() -> Result<PathBuf> {
    cache_of(Environment::current().cache)
}

fn cache_of(cache: Option<PathBuf>) -> Result<PathBuf> {
    cache.context("there is no home directory for the model cache; set HF_HOME to a folder")
}

/// What `HF_HOME` is or would be: for a process whose other caches are elsewhere.
pub fn home_from_env() -> Option<PathBuf> {
    Environment::current().home
}

/// What the cache holds of a repository: the folder, be it a whole model or its configuration alone, or a GGUF file.
pub fn cached_model(name: &HubName) -> Result<Option<PathBuf>> {
    let snapshot = Snapshot::find(&cache_from_env()?, name);
    Ok(snapshot.map(|snapshot| snapshot.model(name.gguf.as_ref()).unwrap_or(snapshot.folder)))
}

/// Whether the cache holds all that the model needs.
pub fn is_cached(cache: &Path, name: &HubName) -> bool {
    Snapshot::find(cache, name).is_some_and(|snapshot| snapshot.model(name.gguf.as_ref()).is_ok())
}
