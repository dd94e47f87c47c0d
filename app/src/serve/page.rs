//! The page's files: those inside the program, or those of a folder.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::models::BUNDLED;

/// `web/dist` as `build.rs` found it, without the bundled models; empty where it was not built.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

const INDEX: &str = "index.html";

pub enum Page {
    Embedded(HashMap<String, File>),
    /// the folder, with every link in its path followed
    Folder(PathBuf),
}

/// A file to send.
#[derive(Clone)]
pub struct File {
    bytes: Bytes,
    kind: &'static str,
    etag: HeaderValue,
}

impl Page {
    /// # Errors
    /// Where the program was compiled without the page.
    pub fn embedded() -> Result<Self> {
        if EMBEDDED.is_empty() {
            bail!(
                "this build of understory does not hold the page; run `cargo xtask web` and build again, or name a \
                 folder that holds it: --page web/dist"
            );
        }
        let models = BUNDLED.iter().flat_map(|model| {
            model.files.iter().map(|(file, bytes)| (format!("models/{}/{file}", model.name), *bytes))
        });
        // A file of the page that has a model's name is another one than the program's.
        let page = EMBEDDED.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes));
        let file = |(name, bytes): (String, &'static [u8])| {
            let file = File::new(&name, Bytes::from_static(bytes));
            (name, file)
        };
        Ok(Self::Embedded(models.chain(page).map(file).collect()))
    }

    /// # Errors
    /// Where `folder` holds no page.
    pub fn folder(folder: &Path) -> Result<Self> {
        let whole = folder.canonicalize().with_context(|| format!("--page {}: cannot be read", folder.display()))?;
        if !whole.join(INDEX).is_file() {
            bail!(
                "--page {}: there is no {INDEX}; expected the folder that `cargo xtask web` builds, web/dist",
                folder.display()
            );
        }
        Ok(Self::Folder(whole))
    }

    /// The file at `path`, as it stands in the request. Names with an escape (`%`) are nobody's.
    pub async fn find(&self, path: &str) -> Option<File> {
        let name = match path.strip_prefix('/')? {
            "" => INDEX,
            name => name,
        };
        if !name.split('/').all(is_plain) {
            return None;
        }
        match self {
            Self::Embedded(files) => files.get(name).cloned(),
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                tokio::task::spawn_blocking(move || read(&folder, &name)).await.ok()?
            }
        }
    }
}

impl File {
    fn new(name: &str, bytes: Bytes) -> Self {
        let hash: String = Sha256::digest(&bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { bytes, kind: kind(name), etag }
    }
}

/// The answer to a request with `headers` for `file`; 304 where the browser has these contents.
pub fn answer(file: Option<File>, headers: &HeaderMap) -> Response {
    let Some(File { bytes, kind, etag }) = file else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    if known.any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::ETAG, etag)], bytes).into_response()
}

/// A part of a path that stays where it is: no `..`, nothing hidden, no separator of any system.
fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
}

/// `None` too for a link that leads out of the folder, and for what is no regular file: a pipe would never end.
fn read(folder: &Path, name: &str) -> Option<File> {
    let path = folder.join(name).canonicalize().ok().filter(|path| path.starts_with(folder) && path.is_file())?;
    Some(File::new(name, fs::read(path).ok()?.into()))
}

/// The media type, by the end of the name.
fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A read of the pipe never ends, and neither does a program that waits for it.
    #[test]
    fn a_pipe_is_no_file_of_the_page() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().canonicalize().unwrap();
        fs::write(whole.join("a.txt"), "a").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(whole.join("pipe.txt")).status().unwrap().success());
        assert!(read(&whole, "a.txt").is_some() && read(&whole, "pipe.txt").is_none());
    }
}
