//! Where models come from: beside the page, from the hub, out of a folder that the page handed over.

mod bundled;
pub mod folders;
mod hub;

use std::collections::HashMap;

use understory_engine::Progress;
use understory_engine::protocol::{HubAccess, LoadRequest, ModelSource, Phases, Reply};

use crate::files::BlobFiles;
use crate::http::Refused;
use crate::js::now_ms;
use crate::store::{Manifest, Problem, Store, Wanted};
use folders::Folders;

/// The files of the models that a request names.
pub struct Found {
    pub target: BlobFiles,
    pub draft: Option<BlobFiles>,
    /// `fetch` and `hash`
    pub phases: Phases,
}

/// Brings the files of `request`'s models here, those that are not.
///
/// # Errors
/// A message for people.
pub async fn find(request: &LoadRequest, folders: &Folders, emit: &mut dyn FnMut(Reply)) -> Result<Found, String> {
    let start = now_ms();
    let store = Store::open().await?;
    let mut on_progress = |done_bytes, total_bytes| emit(Reply::Progress(Progress::Fetch { done_bytes, total_bytes }));
    let sources = Sources { access: &request.hub, folders, store: &store };
    let target = sources.files(&request.target, &mut on_progress).await?;
    let draft = match &request.draft {
        Some(source) => Some(sources.files(source, &mut on_progress).await?),
        None => None,
    };
    let hash = store.hash_ms();
    let fetch = now_ms() - start - hash.unwrap_or(0.0);
    Ok(Found { target, draft, phases: Phases { fetch: Some(fetch), hash, ..Phases::default() } })
}

struct Sources<'a> {
    access: &'a HubAccess,
    folders: &'a Folders,
    store: &'a Store,
}

impl Sources<'_> {
    async fn files(&self, source: &ModelSource, on_progress: &mut dyn FnMut(u64, u64)) -> Result<BlobFiles, String> {
        match source {
            ModelSource::Bundled { .. } => bundled::files(source, self.store, on_progress).await,
            ModelSource::Hub { repo, revision } => {
                hub::files(repo, revision.as_deref(), self.access, self.store, on_progress).await
            }
            ModelSource::Folder { name } => self.folders.files(name),
        }
    }
}

/// All files of `manifest`, fetched where they are not here; `address` says where a file is, and `token` who asks.
///
/// # Errors
/// What `explain` makes of a refusal of a file; every other message as it is.
async fn gather(
    manifest: &Manifest,
    store: &Store,
    address: impl Fn(&str) -> (String, Option<String>),
    explain: impl Fn(Refused, &str) -> String,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<BlobFiles, String> {
    let (total, mut done, mut files) = (manifest.bytes(), 0, HashMap::new());
    for (file, contents) in &manifest.files {
        let (url, token) = address(file);
        let wanted = Wanted { url, token: token.as_deref(), contents };
        let blob = store.have(&wanted, &mut |of_file| on_progress(done + of_file, total)).await;
        let blob = blob.map_err(|problem| match problem {
            Problem::Refused(refused) => explain(refused, file),
            Problem::Said(message) => message,
            Problem::NoRoom => format!("{file}: no room"),
        })?;
        done += contents.bytes;
        files.insert(file.clone(), blob);
    }
    Ok(BlobFiles { name: manifest.source.label(), files })
}
