//! From a server into the store: gone on with where an earlier download broke off, hashed while it streams in.

use js_sys::{Promise, Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::ReadableStreamDefaultReader;

use super::folder::Part;
use super::{Contents, Store, Wanted};
use crate::http::{self, Refused};
use crate::js::{hex, name_of, now_ms, resolved, shown};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], catch)]
    fn digest(algorithm: &str, bytes: &Uint8Array) -> Result<Promise, JsValue>;
}

/// Why a file could not be had.
pub enum Problem {
    /// The server did not give it.
    Refused(Refused),
    /// The browser gives no more room.
    NoRoom,
    /// anything else, as a message: cut short (what came is kept), other contents than expected, ...
    Said(String),
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self::Said(message)
    }
}

impl Store {
    /// Brings the file under its name; the caller holds its lock.
    pub(super) async fn download(&self, wanted: &Wanted<'_>, on_progress: &mut dyn FnMut(u64)) -> Result<(), Problem> {
        let hash = &wanted.contents.hash;
        let part = self.folder.part(hash).await.map_err(|error| unkept(wanted, &error))?;
        let mut partial = Partial { part, hash: None, store: self };
        match partial.fill(wanted, on_progress).await {
            Ok(()) => partial.part.finish(hash).await.map_err(|error| unkept(wanted, &error)),
            Err(problem) => {
                // What cannot be kept comes again.
                let _ = partial.part.leave().await;
                Err(problem)
            }
        }
    }
}

/// A file that is being written, and the hash of what is in it so far; `None` for git's, which is of the whole.
struct Partial<'a> {
    part: Part,
    hash: Option<Sha256>,
    store: &'a Store,
}

impl Partial<'_> {
    /// Downloads what is missing, and checks the whole.
    async fn fill(&mut self, wanted: &Wanted<'_>, on_progress: &mut dyn FnMut(u64)) -> Result<(), Problem> {
        let (url, Contents { bytes, hash }) = (&wanted.url, wanted.contents);
        let unkept = |error: JsValue| unkept(wanted, &error);
        if self.part.bytes() > *bytes {
            self.part.restart().await.map_err(unkept)?;
        }
        self.begin_hash(hash).await.map_err(unkept)?;
        if self.part.bytes() < *bytes {
            let response = http::get(url, self.part.bytes(), wanted.token).await.map_err(Problem::Refused)?;
            if response.status() != 206 && self.part.bytes() > 0 {
                // A server without ranges begins at the beginning.
                self.part.restart().await.map_err(unkept)?;
                self.begin_hash(hash).await.map_err(unkept)?;
            }
            let cut = |error: JsValue| format!("{url}: the connection broke ({}); {KEPT}", shown(&error));
            let body = response.body().ok_or_else(|| format!("{url}: the server sent nothing"))?;
            let reader = ReadableStreamDefaultReader::new(&body).map_err(cut)?;
            loop {
                let read: JsValue = resolved(reader.read()).await.map_err(cut)?;
                let value = Reflect::get(&read, &"value".into()).map_err(cut)?;
                if value.is_undefined() {
                    break;
                }
                let piece = value.unchecked_into::<Uint8Array>().to_vec();
                self.part.append(&piece).await.map_err(unkept)?;
                self.update_hash(&piece);
                if self.part.bytes() > *bytes {
                    drop(JsFuture::from(reader.cancel()).await);
                    break;
                }
                on_progress(self.part.bytes());
            }
        }
        let came = self.part.bytes();
        if came < *bytes {
            return Err(format!("{url}: cut short: {came} of {bytes} bytes came; {KEPT}").into());
        }
        let actual = self.finish_hash(*bytes).await.map_err(unkept)?;
        if came > *bytes || actual != *hash {
            self.part.restart().await.map_err(unkept)?;
            let longer = if came > *bytes { format!("more than {bytes} bytes, ") } else { String::new() };
            return Err(format!(
                "{url}: not what was expected: {longer}hash {actual} instead of {hash}; nothing of it was kept. Load \
                 again; if it stays so, the server gives other files than it lists"
            )
            .into());
        }
        Ok(())
    }

    /// Of what an earlier visit left.
    async fn begin_hash(&mut self, hash: &str) -> Result<(), JsValue> {
        if hash.len() == GIT {
            return Ok(());
        }
        let start = now_ms();
        let mut so_far = Sha256::new();
        self.part.each(&mut |piece| so_far.update(piece)).await?;
        self.hash = Some(so_far);
        self.took(start);
        Ok(())
    }

    fn update_hash(&mut self, piece: &[u8]) {
        let start = now_ms();
        if let Some(hash) = &mut self.hash {
            hash.update(piece);
        }
        self.took(start);
    }

    async fn finish_hash(&mut self, bytes: u64) -> Result<String, JsValue> {
        if let Some(hash) = self.hash.take() {
            return Ok(hex(&hash.finalize()));
        }
        // Small files: git keeps large ones elsewhere.
        let start = now_ms();
        let mut blob = format!("blob {bytes}\0").into_bytes();
        self.part.each(&mut |piece| blob.extend_from_slice(piece)).await?;
        let hash: JsValue = resolved(digest("SHA-1", &Uint8Array::from(&*blob))?).await?;
        self.took(start);
        Ok(hex(&Uint8Array::new(&hash).to_vec()))
    }

    fn took(&self, start: f64) {
        let so_far = self.store.hash_ms.get().unwrap_or(0.0);
        self.store.hash_ms.set(Some(so_far + now_ms() - start));
    }
}

/// Digits of git's SHA-1.
const GIT: usize = 40;
const KEPT: &str = "what came is kept: load again to go on";

fn unkept(wanted: &Wanted<'_>, error: &JsValue) -> Problem {
    match name_of(error).as_deref() {
        Some("QuotaExceededError") => Problem::NoRoom,
        _ => Problem::Said(format!("{}: cannot be kept: {}", wanted.url, shown(error))),
    }
}
