//! Models that lie beside the page.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use understory_model::repository::LISTING_BYTES;
use understory_protocol::ModelSource;

use super::{Observer, gather};
use crate::files::BlobFiles;
use crate::http::{self, Refused};
use crate::store::{Contents, Manifest, Store};

/// The models, with the sizes and hashes of their files; `cargo xtask web` writes it.
const INDEX: &str = "models/index.json";

#[derive(Deserialize)]
struct IndexedFile {
    bytes: u64,
    sha256: String,
}

/// Brings a model here.
///
/// # Errors
/// A message that names what could not be had.
pub async fn files(source: &ModelSource, store: &Store, observer: &mut Observer<'_>) -> Result<BlobFiles, String> {
    let name = source.label();
    let manifest = match index().await {
        Ok(index) => listed(source, index)?,
        // Without its server the page goes on with what it has.
        Err(message) => match store.manifest(source, None).await? {
            Some(manifest) if store.is_whole(&manifest).await => manifest,
            _ => return Err(message),
        },
    };
    store.keep(&manifest).await?;
    let address = |file: &str| (url(&name, file), None);
    gather(&manifest, store, address, |refused, file| explain(refused, &url(&name, file)), observer).await
}

type Index = HashMap<String, BTreeMap<String, IndexedFile>>;

async fn index() -> Result<Index, String> {
    let failed = |refused| explain(refused, INDEX);
    let text = http::text(&http::get(INDEX, 0, None).await.map_err(failed)?, LISTING_BYTES).await.map_err(failed)?;
    serde_json::from_str(&text).map_err(|_| format!("{INDEX} is no list of models: the page was not built whole"))
}

fn listed(source: &ModelSource, mut index: Index) -> Result<Manifest, String> {
    let name = source.label();
    let mut known: Vec<_> = index.keys().cloned().collect();
    known.sort();
    let files =
        index.remove(&name).ok_or_else(|| format!("there is no model `{name}` here; known: {}", known.join(", ")))?;
    let contents = |IndexedFile { bytes, sha256 }| Contents { bytes, hash: sha256 };
    let files = files.into_iter().map(|(file, of)| (file, contents(of))).collect();
    Ok(Manifest { source: source.clone(), endpoint: None, commit: None, files, is_complete: true })
}

fn url(name: &str, file: &str) -> String {
    format!("models/{name}/{file}")
}

fn explain(refused: Refused, url: &str) -> String {
    match refused {
        Refused::Status(status) => format!("cannot fetch {url}: the server answered {status}"),
        Refused::Silent(reason) => format!("cannot fetch {url}: {reason}"),
    }
}
