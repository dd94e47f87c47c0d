//! Where the store's files lie: one of two places, by what the browser has.

use wasm_bindgen::prelude::*;
use web_sys::Blob;

use super::{PART, cached, opfs};
use crate::scope;

pub enum Folder {
    Opfs(opfs::Folder),
    Cached(cached::Folder),
}

pub enum Part {
    Opfs(opfs::Part),
    Cached(cached::Part),
}

impl Folder {
    /// The private file system, or where there is none, or `?store=cache` is in the worker's address, the Cache API.
    ///
    /// # Errors
    /// Where the browser offers neither: an old one, or a private window of some.
    pub async fn open() -> Result<Self, String> {
        let avoid_files = scope().location().search().contains("store=cache");
        if !avoid_files && let Some(folder) = opfs::Folder::open().await {
            return Ok(Self::Opfs(folder));
        }
        let folder = cached::Folder::open().await;
        folder.map(Self::Cached).map_err(|error| format!("this browser keeps no files for pages: {error}"))
    }

    /// A whole file.
    pub async fn blob(&self, name: &str) -> Option<Blob> {
        match self {
            Self::Opfs(folder) => folder.blob(name).await,
            Self::Cached(folder) => folder.blob(name).await,
        }
    }

    /// Bytes that are there of a file that is not whole.
    pub async fn part_bytes(&self, name: &str) -> u64 {
        match self {
            Self::Opfs(folder) => folder.blob(&format!("{name}{PART}")).await.map_or(0, |blob| blob.size() as u64),
            Self::Cached(folder) => folder.part(name).await.map_or(0, |part| part.bytes),
        }
    }

    /// Names of files, and of parts, which end with [`PART`].
    pub async fn names(&self) -> Result<Vec<String>, JsValue> {
        match self {
            Self::Opfs(folder) => folder.names().await,
            Self::Cached(folder) => folder.names().await,
        }
    }

    pub async fn remove(&self, name: &str) -> Result<(), JsValue> {
        match self {
            Self::Opfs(folder) => folder.remove(name).await,
            Self::Cached(folder) => folder.remove(name).await,
        }
    }

    /// A small file, in place of what was there; under a lock.
    pub async fn write(&self, name: &str, text: &str) -> Result<(), JsValue> {
        match self {
            Self::Opfs(folder) => folder.write(name, text).await,
            Self::Cached(folder) => folder.write(name, text).await,
        }
    }

    /// What is there of a file, to go on with; under a lock.
    pub async fn part(&self, name: &str) -> Result<Part, JsValue> {
        match self {
            Self::Opfs(folder) => folder.part(name).await.map(Part::Opfs),
            Self::Cached(folder) => folder.part(name).await.map(Part::Cached),
        }
    }
}

impl Part {
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Opfs(part) => part.bytes,
            Self::Cached(part) => part.bytes,
        }
    }

    /// All that is in it, piece by piece.
    pub async fn each(&self, on_piece: &mut dyn FnMut(&[u8])) -> Result<(), JsValue> {
        match self {
            Self::Opfs(part) => part.each(on_piece),
            Self::Cached(part) => part.each(on_piece).await,
        }
    }

    /// Forgets what is in it.
    pub async fn restart(&mut self) -> Result<(), JsValue> {
        match self {
            Self::Opfs(part) => part.restart(),
            Self::Cached(part) => part.restart().await,
        }
    }

    pub async fn append(&mut self, piece: &[u8]) -> Result<(), JsValue> {
        match self {
            Self::Opfs(part) => part.append(piece),
            Self::Cached(part) => part.append(piece).await,
        }
    }

    /// Keeps what came so far, for another visit.
    pub async fn leave(self) -> Result<(), JsValue> {
        match self {
            // Closing does it.
            Self::Opfs(_) => Ok(()),
            Self::Cached(mut part) => part.flush().await,
        }
    }

    /// It is whole: from now on it is the file `name`.
    pub async fn finish(self, name: &str) -> Result<(), JsValue> {
        match self {
            Self::Opfs(part) => part.finish(name).await,
            Self::Cached(part) => part.finish().await,
        }
    }
}
