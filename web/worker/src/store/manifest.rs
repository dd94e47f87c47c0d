//! Which files make up a model: one small file each, beside the files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use understory_model::gguf::is_gguf;
use understory_model::repository::HubName;
use understory_protocol::{ModelSource, StoredModel};

use super::{Lock, MANIFESTS, Store};
use crate::js::{hex, shown, text};

/// What the names of manifests end with.
const END: &str = ".json";

/// A file's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub bytes: u64,
    /// in hexadecimal, lower case: SHA-256, or (40 digits) git's SHA-1
    pub hash: String,
}

/// A model that is kept, or on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub source: ModelSource,
    pub endpoint: Option<String>,
    pub commit: Option<String>,
    pub files: BTreeMap<String, Contents>,
    /// `files` are all that the model needs, not only those known so far.
    pub is_complete: bool,
}

impl Manifest {
    /// The same for the same model from the same place, whatever its revision holds today.
    pub fn id(&self) -> String {
        id(&self.source, self.endpoint.as_deref())
    }

    pub fn contents(&self) -> impl Iterator<Item = &Contents> {
        self.files.values()
    }

    /// The first file of a model in GGUF, which has nothing else.
    pub fn gguf(&self) -> Option<String> {
        self.files.keys().next().filter(|file| is_gguf(file)).cloned()
    }

    pub fn bytes(&self) -> u64 {
        self.contents().map(|contents| contents.bytes).sum()
    }

    pub fn stored(&self, kept_bytes: u64) -> StoredModel {
        StoredModel {
            id: self.id(),
            source: self.source.clone(),
            endpoint: self.endpoint.clone(),
            commit: self.commit.clone(),
            bytes: self.bytes(),
            kept_bytes,
        }
    }
}

fn id(source: &ModelSource, endpoint: Option<&str>) -> String {
    let what = match source {
        ModelSource::Bundled { name } => format!("bundled\n{name}"),
        ModelSource::Hub { repo, revision } => {
            format!("hub\n{repo}\n{}", revision.as_deref().unwrap_or(HubName::MAIN))
        }
        ModelSource::Folder { name } => format!("folder\n{name}"),
    };
    hex(&Sha256::digest(format!("{what}\n{}", endpoint.unwrap_or_default())))
}

/// The name of a model's manifest.
pub fn file(id: &str) -> String {
    format!("{id}{END}")
}

impl Store {
    /// The model's manifest, if there is one.
    ///
    /// # Errors
    /// A message.
    pub async fn manifest(&self, source: &ModelSource, endpoint: Option<&str>) -> Result<Option<Manifest>, String> {
        let _lock = Lock::take(MANIFESTS).await?;
        Ok(self.read_manifest(&file(&id(source, endpoint))).await)
    }

    /// Whether all files of the model are here.
    pub async fn is_whole(&self, manifest: &Manifest) -> bool {
        for contents in manifest.contents() {
            if self.find(contents).await.is_none() {
                return false;
            }
        }
        manifest.is_complete
    }

    /// Keeps the manifest in place of what was known of the model; what only the old one named is deleted.
    ///
    /// # Errors
    /// A message.
    pub async fn keep(&self, manifest: &Manifest) -> Result<(), String> {
        let failed = |error| format!("the list of the model's files cannot be kept: {}", shown(&error));
        let _lock = Lock::take(MANIFESTS).await?;
        let file = file(&manifest.id());
        let old = self.read_manifest(&file).await;
        if old.as_ref() == Some(manifest) {
            return Ok(());
        }
        let text = serde_json::to_string(manifest).map_err(|error| error.to_string())?;
        self.folder.write(&file, &text).await.map_err(failed)?;
        let is_new = |contents: &Contents| manifest.contents().any(|of| of == contents);
        if old.is_some_and(|old| !old.contents().all(is_new)) {
            self.sweep().await?;
        }
        Ok(())
    }

    /// All manifests; the caller holds the lock. One that was not written to its end counts as none.
    pub(super) async fn manifests(&self) -> Result<Vec<Manifest>, String> {
        let failed = |error| format!("the kept models cannot be listed: {}", shown(&error));
        let mut manifests = Vec::new();
        for name in self.folder.names().await.map_err(failed)? {
            if name.ends_with(END)
                && let Some(manifest) = self.read_manifest(&name).await
            {
                manifests.push(manifest);
            }
        }
        manifests.sort_by_key(|manifest| manifest.source.label());
        Ok(manifests)
    }

    async fn read_manifest(&self, file: &str) -> Option<Manifest> {
        let blob = self.folder.blob(file).await?;
        serde_json::from_str(&text(&blob).await?).ok()
    }
}
