//! Model files that the browser keeps between visits, under the hashes of their contents, and lists of which of them
//! make up a model. A download goes to `HASH.part`, which an interrupted one leaves to be gone on with, and gets its
//! name once all of it is there and the hash is right: what has a name is whole. One tab writes a file at a time.

mod cached;
mod download;
mod folder;
mod lock;
mod manifest;
mod opfs;

use std::cell::Cell;

use understory_protocol::Reply;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, StorageEstimate};

pub use download::Problem;
use folder::Folder;
use lock::Lock;
pub use manifest::{Contents, Manifest};

use crate::js::{bytes, resolved, shown};
use crate::scope;

const FOLDER: &str = "understory";
/// What the name of a file that is not whole ends with.
const PART: &str = ".part";

/// A file to have.
pub struct Wanted<'a> {
    pub url: String,
    pub token: Option<&'a str>,
    pub contents: &'a Contents,
}

/// The files that are kept.
pub struct Store {
    folder: Folder,
    hash_ms: Cell<Option<f64>>,
}

impl Store {
    /// # Errors
    /// Where the browser offers none: an old one, or a private window of some.
    pub async fn open() -> Result<Self, String> {
        Ok(Self { folder: Folder::open().await?, hash_ms: Cell::new(None) })
    }

    /// What hashing took since the store was opened; `None`: nothing was hashed.
    pub fn hash_ms(&self) -> Option<f64> {
        self.hash_ms.get()
    }

    /// The file, if it is here.
    pub async fn find(&self, contents: &Contents) -> Option<Blob> {
        let blob = self.folder.blob(&contents.hash).await?;
        (blob.size() == contents.bytes as f64).then_some(blob)
    }

    /// The file, fetched if it is not here; `on_progress(bytes so far)`.
    ///
    /// # Errors
    /// [`Problem`].
    pub async fn have(&self, wanted: &Wanted<'_>, on_progress: &mut dyn FnMut(u64)) -> Result<Blob, Problem> {
        let Contents { bytes, hash } = wanted.contents;
        if let Some(blob) = self.find(wanted.contents).await {
            on_progress(*bytes);
            return Ok(blob);
        }
        let lock = Lock::take(&file_lock(hash)).await?;
        // Another tab may have brought it while this one waited.
        if self.find(wanted.contents).await.is_none() {
            match self.download(wanted, on_progress).await {
                Err(Problem::NoRoom) => return Err(Problem::Said(self.no_room(wanted).await)),
                done => done?,
            }
        }
        drop(lock);
        let lost = || Problem::Said(format!("{}: the browser lost the file", wanted.url));
        self.find(wanted.contents).await.ok_or_else(lost)
    }

    /// Deletes a model's manifest, and the files, whole or not, that no other names.
    ///
    /// # Errors
    /// A message.
    pub async fn forget(&self, id: &str) -> Result<(), String> {
        let lock = Lock::take(MANIFESTS).await?;
        if self.manifests().await?.iter().all(|manifest| manifest.id() != id) {
            return Err(format!("no model `{id}` is kept here; it may be deleted already"));
        }
        let gone = self.folder.remove(&manifest::file(id)).await;
        gone.map_err(|error| format!("the model cannot be deleted: {}", shown(&error)))?;
        self.sweep().await?;
        drop(lock);
        Ok(())
    }

    /// Everything that is kept, and how much room there is.
    ///
    /// # Errors
    /// A message.
    pub async fn models(&self) -> Result<Reply, String> {
        let lock = Lock::take(MANIFESTS).await?;
        let mut models = Vec::new();
        for manifest in self.manifests().await? {
            let mut kept_bytes = 0;
            for contents in manifest.contents() {
                kept_bytes += match self.find(contents).await {
                    Some(_) => contents.bytes,
                    None => self.folder.part_bytes(&contents.hash).await,
                };
            }
            models.push(manifest.stored(kept_bytes));
        }
        drop(lock);
        let room = room().await;
        Ok(Reply::Models { models, usage_bytes: room.usage, quota_bytes: room.quota, persisted: room.persisted })
    }

    /// Deletes files that no manifest names, but for those that a tab is writing. The caller holds [`MANIFESTS`].
    async fn sweep(&self) -> Result<(), String> {
        let failed = |error: JsValue| format!("files cannot be deleted: {}", shown(&error));
        let manifests = self.manifests().await?;
        let is_named = |hash: &str| manifests.iter().any(|manifest| manifest.contents().any(|of| of.hash == hash));
        for name in self.folder.names().await.map_err(failed)? {
            let hash = name.strip_suffix(PART).unwrap_or(&name);
            let is_contents = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_contents
                && !is_named(hash)
                && let Some(_lock) = Lock::try_take(&file_lock(hash)).await?
            {
                self.folder.remove(&name).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Why a file could not be kept whole, and what to do.
    async fn no_room(&self, wanted: &Wanted<'_>) -> String {
        let Contents { bytes: all, hash } = wanted.contents;
        let missing = all.saturating_sub(self.folder.part_bytes(hash).await);
        let room = match room().await {
            Room { usage: Some(usage), quota: Some(quota), .. } => {
                format!("{} of the {} that the browser gives this page are in use", bytes(usage), bytes(quota))
            }
            _ => "the browser does not say how much it gives this page".into(),
        };
        let kept = match self.models().await {
            Ok(Reply::Models { models, .. }) => models,
            _ => vec![],
        };
        let kept: Vec<_> =
            kept.iter().map(|model| format!("{} ({})", model.source.label(), bytes(model.kept_bytes))).collect();
        format!(
            "{}: no room: {} more are needed; {room}. Delete models that you do not need (kept: {}) or free space on \
             the disk, then load again: what came is kept and gone on with",
            wanted.url,
            bytes(missing),
            kept.join(", ")
        )
    }
}

/// The lock of whoever reads or writes manifests.
const MANIFESTS: &str = "understory/manifests";

fn file_lock(hash: &str) -> String {
    format!("{FOLDER}/{hash}")
}

struct Room {
    usage: Option<u64>,
    quota: Option<u64>,
    persisted: Option<bool>,
}

/// What the browser says; some say nothing.
async fn room() -> Room {
    let storage = scope().navigator().storage();
    let estimate: Option<StorageEstimate> = match storage.estimate() {
        Ok(estimate) => resolved(estimate).await.ok(),
        Err(_) => None,
    };
    let persisted: Option<JsValue> = match storage.persisted() {
        Ok(persisted) => resolved(persisted).await.ok(),
        Err(_) => None,
    };
    let whole = |bytes: f64| bytes as u64;
    Room {
        usage: estimate.as_ref().and_then(|estimate| estimate.get_usage()).map(whole),
        quota: estimate.as_ref().and_then(|estimate| estimate.get_quota()).map(whole),
        persisted: persisted.and_then(|persisted| persisted.as_bool()),
    }
}

/// As the browser says it: the disk took only a part.
fn no_room() -> JsValue {
    let error = js_sys::Error::new("the disk took only a part");
    error.set_name("QuotaExceededError");
    error.into()
}
