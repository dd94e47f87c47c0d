//! Where models come from: beside the page, from the hub, out of a folder or files that the page handed over.

mod bundled;
pub mod folders;
mod hub;
mod remote_header;

use std::cell::RefCell;
use std::collections::HashMap;

use futures_util::future::join_all;
use understory_model::config::ModelConfig;
use understory_model::repository::CONFIG;
use understory_protocol::{HubAccess, LoadRequest, ModelSource, Phases, Progress, Reply};

use crate::files::{BlobFiles, read_blob};
use crate::http::Refused;
use crate::js::now_ms;
use crate::store::{Manifest, Problem, Store, Wanted};
use folders::Folders;
use web_sys::Blob;

/// The files of the models that a request names.
pub struct Found {
    pub target: BlobFiles,
    pub draft: Option<BlobFiles>,
    /// `fetch` and `hash`
    pub phases: Phases,
}

/// Brings the files of `request`'s models here, those that are not; `on_config` hears of the target's configuration
/// as soon as it is here, long before the weights.
///
/// # Errors
/// A message for people.
pub async fn find(
    request: &LoadRequest,
    folders: &Folders,
    on_config: &mut dyn FnMut(&ModelConfig),
    emit: &mut dyn FnMut(Reply),
) -> Result<Found, String> {
    let start = now_ms();
    let store = Store::open().await?;
    let mut on_progress = |done_bytes, total_bytes| emit(Reply::Progress(Progress::Fetch { done_bytes, total_bytes }));
    let sources = Sources { access: &request.hub, folders, store: &store };
    let target = sources.files(&request.target, on_config, &mut on_progress).await?;
    let draft = match &request.draft {
        Some(source) => Some(sources.files(source, &mut |_| {}, &mut on_progress).await?),
        None => None,
    };
    let hash = store.hash_ms();
    let fetch = now_ms() - start - hash.unwrap_or(0.0);
    Ok(Found { target, draft, phases: Phases { fetch: Some(fetch), hash, ..Phases::default() } })
}

/// Who hears of files on their way.
struct Observer<'a> {
    on_config: &'a mut dyn FnMut(&ModelConfig),
    /// `(done, total)` in bytes
    on_progress: &'a mut dyn FnMut(u64, u64),
}

struct Sources<'a> {
    access: &'a HubAccess,
    folders: &'a Folders,
    store: &'a Store,
}

impl Sources<'_> {
    async fn files(
        &self,
        source: &ModelSource,
        on_config: &mut dyn FnMut(&ModelConfig),
        on_progress: &mut dyn FnMut(u64, u64),
    ) -> Result<BlobFiles, String> {
        let observer = &mut Observer { on_config, on_progress };
        match source {
            ModelSource::Bundled { .. } => bundled::files(source, self.store, observer).await,
            ModelSource::Hub { repo, revision } => {
                hub::files(repo, revision.as_deref(), self.access, self.store, observer).await
            }
            ModelSource::Folder { name } => self.folders.files(name),
        }
    }
}

/// Up to this many bytes a file comes beside others: bringing it takes longer than its bytes do.
const SMALL: u64 = 1 << 20;

/// All files of `manifest`, fetched where they are not here, the configuration first; `address` says where a file is,
/// and `token` who asks.
///
/// # Errors
/// What `explain` makes of a refusal of a file; every other message as it is.
async fn gather(
    manifest: &Manifest,
    store: &Store,
    address: impl Fn(&str) -> (String, Option<String>),
    explain: impl Fn(Refused, &str) -> String,
    observer: &mut Observer<'_>,
) -> Result<BlobFiles, String> {
    let Observer { on_config, on_progress } = observer;
    let (total, came) = (manifest.bytes(), RefCell::new(HashMap::new()));
    let on_progress = RefCell::new(on_progress);
    let bring = async |file: &String| {
        let (url, token) = address(file);
        let wanted = Wanted { url, token: token.as_deref(), contents: &manifest.files[file] };
        let mut on_bytes = |of_file| {
            came.borrow_mut().insert(file.clone(), of_file);
            (on_progress.borrow_mut())(came.borrow().values().sum(), total);
        };
        match store.have(&wanted, &mut on_bytes).await {
            Ok(blob) => Ok((file.clone(), blob)),
            Err(Problem::Refused(refused)) => Err(explain(refused, file)),
            Err(Problem::Said(message) | Problem::Broken(message)) => Err(message),
            Err(Problem::NoRoom) => Err(format!("{file}: no room")),
        }
    };
    let mut files = HashMap::new();
    if let Some((config, _)) = manifest.files.get_key_value(CONFIG) {
        let (_, blob) = bring(config).await?;
        hear(&blob, on_config);
        files.insert(config.clone(), blob);
    }
    let others = manifest.files.iter().filter(|(file, _)| *file != CONFIG);
    let (small, large): (Vec<_>, Vec<_>) = others.partition(|(_, contents)| contents.bytes <= SMALL);
    for brought in join_all(small.into_iter().map(|(file, _)| bring(file))).await {
        files.extend([brought?]);
    }
    for (file, _) in large {
        files.extend([bring(file).await?]);
    }
    Ok(BlobFiles::new(manifest.source.label(), files, manifest.gguf()))
}

/// Says what a `config.json` says, if it can be understood: opening the model tells what is wrong with it.
fn hear(config: &Blob, on_config: &mut dyn FnMut(&ModelConfig)) {
    let text = read_blob(config).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(config) = text.and_then(|text| ModelConfig::from_json(&text, None).ok()) {
        on_config(&config);
    }
}
