//! From a server into the store: gone on with where an earlier download broke off, hashed while it streams in.

use js_sys::{Promise, Uint8Array};
use sha2::{Digest, Sha256};
use understory_model::repository::{Limits, Patience, content_range};
use wasm_bindgen::prelude::*;

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
    /// The connection broke or fell silent: what came is kept, and another attempt may bring the rest.
    Broken(String),
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
        let limits = Limits::with_idle(Limits::IDLE);
        let mut patience = Patience::new(limits, self.part.bytes());
        let mut has_ranges = true;
        while self.part.bytes() < *bytes {
            match self.attempt(wanted, &mut patience, &mut has_ranges, on_progress).await {
                Err(Problem::Broken(reason)) => match patience.pause() {
                    Some(pause) => http::pause(pause).await,
                    None => {
                        let came = self.part.bytes();
                        return Err(format!("{url}: cut short: {came} of {bytes} bytes came ({reason}); {KEPT}").into());
                    }
                },
                done => done?,
            }
        }
        let came = self.part.bytes();
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

    /// Brings what one connection does.
    async fn attempt(
        &mut self,
        wanted: &Wanted<'_>,
        patience: &mut Patience,
        has_ranges: &mut bool,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), Problem> {
        let Contents { bytes, hash } = wanted.contents;
        let unkept = |error: JsValue| unkept(wanted, &error);
        let broken = |error: JsValue| Problem::Broken(shown(&error));
        let from = if *has_ranges { self.part.bytes() } else { 0 };
        let answer = match http::get(&wanted.url, from, wanted.token).await {
            Ok(answer) => answer,
            Err(Refused::Status(416)) if from > 0 => {
                *has_ranges = false;
                return Err(Problem::Broken("there is nothing to go on with".into()));
            }
            // The network may be back in a moment.
            Err(Refused::Silent(reason)) if patience.has_progress() => return Err(Problem::Broken(reason)),
            Err(refused) => return Err(Problem::Refused(refused)),
        };
        let range = answer.response.headers().get("content-range").ok().flatten();
        // Some servers do not let pages see the range; then the hash tells.
        if answer.response.status() == 206 && range.is_some_and(|range| !is_rest(&range, from, *bytes)) {
            *has_ranges = false;
            return Err(Problem::Broken("another part came than was asked for".into()));
        }
        if answer.response.status() != 206 && self.part.bytes() > 0 {
            // A server without ranges begins at the beginning.
            self.part.restart().await.map_err(unkept)?;
            self.begin_hash(hash).await.map_err(unkept)?;
        }
        let body = http::Body::of(&answer).map_err(broken)?;
        while let Some(piece) = body.piece(patience.limit()).await.map_err(broken)? {
            self.part.append(&piece).await.map_err(unkept)?;
            self.update_hash(&piece);
            if self.part.bytes() > *bytes {
                return Ok(());
            }
            on_progress(self.part.bytes());
            patience.arrived(piece.len(), self.part.bytes()).map_err(Problem::Broken)?;
        }
        if self.part.bytes() < *bytes { Err(Problem::Broken("the connection ended".into())) } else { Ok(()) }
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

/// Whether a `Content-Range` is of the rest of the file.
fn is_rest(range: &str, from: u64, bytes: u64) -> bool {
    content_range(range).is_some_and(|(first, total)| first == from && total.is_none_or(|total| total == bytes))
}

fn unkept(wanted: &Wanted<'_>, error: &JsValue) -> Problem {
    match name_of(error).as_deref() {
        Some("QuotaExceededError") => Problem::NoRoom,
        _ => Problem::Said(format!("{}: cannot be kept: {}", wanted.url, shown(error))),
    }
}
