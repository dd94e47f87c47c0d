//! The Cache API in place of files, where the browser has none to write in place. A file is its pieces (`NAME.part/0`,
//! `NAME.part/1`, ...), and an entry `NAME` that says how many they are once all are there: a download can be gone on
//! with, and nothing is copied at its end.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Cache, Request, Response};

use super::{FOLDER, PART};
use crate::files::read_blob;
use crate::js::{resolved, shown, text};
use crate::scope;

/// The cache's own name: the page's own files may lie in others.
const CACHE: &str = "understory-models";
/// Bytes of a piece, and the most that an interruption loses.
const PIECE: usize = 8 << 20;

pub struct Folder(Cache);

impl Folder {
    /// # Errors
    /// Where the browser has no caches or refuses them.
    pub async fn open() -> Result<Self, String> {
        let caches = scope().caches().map_err(|error| shown(&error))?;
        resolved(caches.open(CACHE)).await.map(Self).map_err(|error: JsValue| shown(&error))
    }

    pub async fn blob(&self, name: &str) -> Option<Blob> {
        let pieces = text(&entry(&self.0, name).await?).await?.parse().ok()?;
        let parts = Array::new();
        for i in 0..pieces {
            parts.push(entry(&self.0, &piece(name, i)).await?.as_ref());
        }
        Blob::new_with_blob_sequence(&parts).ok()
    }

    /// The names of files, and of parts that are not whole.
    pub async fn names(&self) -> Result<Vec<String>, JsValue> {
        let keys: Array = resolved(self.0.keys()).await?;
        let names = keys.iter().filter_map(|request| {
            let url = request.unchecked_into::<Request>().url();
            let name = url.rsplit_once(&format!("/{FOLDER}/"))?.1.to_owned();
            Some(name.split_once('/').map_or(name.clone(), |(part, _)| part.to_owned()))
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        let is_whole = |part: &str| part.strip_suffix(PART).is_some_and(|name| names.iter().any(|n| n == name));
        Ok(names.iter().filter(|name| !is_whole(name)).cloned().collect())
    }

    pub async fn remove(&self, name: &str) -> Result<(), JsValue> {
        let whole = name.strip_suffix(PART).unwrap_or(name);
        JsFuture::from(self.0.delete_with_str(&url(whole))).await?;
        for i in 0.. {
            if JsFuture::from(self.0.delete_with_str(&url(&piece(whole, i)))).await? == JsValue::FALSE {
                break;
            }
        }
        Ok(())
    }

    /// A small file, in place of what was there.
    pub async fn write(&self, name: &str, text: &str) -> Result<(), JsValue> {
        put(&self.0, &piece(name, 0), text.as_bytes()).await?;
        put(&self.0, name, b"1").await
    }

    pub async fn part(&self, name: &str) -> Result<Part, JsValue> {
        let mut part = Part { cache: self.0.clone(), name: name.into(), pieces: 0, ahead: vec![], bytes: 0 };
        while let Some(blob) = entry(&self.0, &piece(name, part.pieces)).await {
            part.bytes += blob.size() as u64;
            part.pieces += 1;
        }
        Ok(part)
    }
}

async fn entry(cache: &Cache, name: &str) -> Option<Blob> {
    let response: Response = resolved(cache.match_with_str(&url(name))).await.ok()?;
    if response.is_undefined() { None } else { resolved(response.blob().ok()?).await.ok() }
}

/// A file that is being written; a lock keeps others from it.
pub struct Part {
    cache: Cache,
    name: String,
    /// how many are kept
    pieces: usize,
    /// what is not in a piece yet
    ahead: Vec<u8>,
    /// what is in it
    pub bytes: u64,
}

impl Part {
    /// All that is in it, piece by piece.
    pub async fn each(&self, on_piece: &mut dyn FnMut(&[u8])) -> Result<(), JsValue> {
        for i in 0..self.pieces {
            let blob = entry(&self.cache, &piece(&self.name, i)).await.ok_or("a piece is gone")?;
            on_piece(&read_blob(&blob)?);
        }
        on_piece(&self.ahead);
        Ok(())
    }

    pub async fn restart(&mut self) -> Result<(), JsValue> {
        for i in (0..self.pieces).rev() {
            JsFuture::from(self.cache.delete_with_str(&url(&piece(&self.name, i)))).await?;
        }
        self.pieces = 0;
        self.ahead.clear();
        self.bytes = 0;
        Ok(())
    }

    pub async fn append(&mut self, piece: &[u8]) -> Result<(), JsValue> {
        self.ahead.extend_from_slice(piece);
        self.bytes += piece.len() as u64;
        if self.ahead.len() >= PIECE { self.flush().await } else { Ok(()) }
    }

    /// Keeps what came so far.
    pub async fn flush(&mut self) -> Result<(), JsValue> {
        if !self.ahead.is_empty() {
            put(&self.cache, &piece(&self.name, self.pieces), &self.ahead).await?;
            self.pieces += 1;
            self.ahead.clear();
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<(), JsValue> {
        self.flush().await?;
        put(&self.cache, &self.name, self.pieces.to_string().as_bytes()).await
    }
}

async fn put(cache: &Cache, name: &str, bytes: &[u8]) -> Result<(), JsValue> {
    // A copy of its own: the cache reads it later.
    let response = Response::new_with_opt_js_u8_array(Some(&Uint8Array::from(bytes)))?;
    JsFuture::from(cache.put_with_str(&url(name), &response)).await.map(drop)
}

fn piece(name: &str, i: usize) -> String {
    format!("{name}{PART}/{i}")
}

/// Entries have addresses; nothing answers at these.
fn url(name: &str) -> String {
    format!("./{FOLDER}/{name}")
}
