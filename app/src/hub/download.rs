//! From the hub into the cache, file by file, resuming what an earlier run left.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::Cache;
use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use understory_model::repository::{CONFIG, Entry, Listing, OPTIONAL, TOKENIZER, WEIGHTS, WEIGHTS_INDEX};
use understory_protocol::figures;

use super::cache::{Snapshot, shards};
use super::failure::DownloadFailure;
use super::{Hub, HubName, Observer};
use crate::output::{self, Console};

/// Pauses before a broken transfer is taken up again.
const RETRY_AFTER_MS: [u64; 3] = [250, 1000, 3000];

impl Hub {
    /// Downloads what is missing of `name` and records its revision once everything is there. Returns the folder.
    pub(super) fn download(&self, name: &HubName) -> Result<PathBuf, DownloadFailure> {
        let api = ApiBuilder::from_cache(Cache::new(self.cache.path().clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("understory", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| DownloadFailure::NotAHub(error.to_string()))?;
        let requested = super::repo(name, &name.revision);
        let listing = persist(|| list(&api.repo(requested.clone())))?;
        listing.check().map_err(DownloadFailure::Unsuitable)?;
        let fetch = Fetch {
            repo: api.repo(super::repo(name, &listing.sha)),
            snapshot: Snapshot::of_commit(&self.cache, name, &listing.sha),
            listing,
            console: self.console,
            observer: self.observer.clone(),
        };
        fetch.everything()?;
        let record = self.cache.repo(requested).create_ref(&fetch.listing.sha);
        record.map_err(|error| DownloadFailure::from_io(error, "the revision's entry".into()))?;
        Ok(fetch.snapshot.folder)
    }
}

fn list(repo: &ApiRepo) -> Result<Listing, DownloadFailure> {
    let request = repo.info_request().query("blobs", "true");
    let answer = request.call().map_err(|error| DownloadFailure::from_request(error, None))?;
    let text = answer.into_string().map_err(|error| DownloadFailure::Unreachable(error.to_string()))?;
    Listing::parse(&text).map_err(DownloadFailure::NotAHub)
}

/// One download of one commit.
struct Fetch {
    repo: ApiRepo,
    listing: Listing,
    snapshot: Snapshot,
    console: Console,
    observer: Option<Observer>,
}

impl Fetch {
    fn everything(&self) -> Result<(), DownloadFailure> {
        for file in OPTIONAL {
            if self.listing.entry(file).is_some() {
                self.file(file)?;
            } else {
                self.snapshot.remember_absent(file).map_err(|error| DownloadFailure::from_io(error, file.into()))?;
            }
        }
        self.file(CONFIG)?;
        self.file(TOKENIZER)?;
        if self.listing.entry(WEIGHTS).is_some() {
            self.file(WEIGHTS)?;
        } else {
            let index = self.file(WEIGHTS_INDEX)?;
            for shard in shards(&index).map_err(|error| DownloadFailure::Unsuitable(error.to_string()))? {
                self.file(&shard)?;
            }
        }
        Ok(())
    }

    /// The file in the cache, downloaded if it is not there whole.
    fn file(&self, file: &str) -> Result<PathBuf, DownloadFailure> {
        let Some(entry) = self.listing.entry(file) else {
            return Err(DownloadFailure::Unsuitable(format!("{WEIGHTS_INDEX} names {file}, which it does not have")));
        };
        persist(|| self.entry(entry))
    }

    fn entry(&self, entry: &Entry) -> Result<PathBuf, DownloadFailure> {
        let file = entry.name.as_str();
        let disk = |error| DownloadFailure::from_io(error, file.into());
        let pointer = self.snapshot.folder.join(file);
        match len(&pointer) {
            Some(len) if entry.size.is_none_or(|size| size == len) => return Ok(pointer),
            Some(_) => fs::remove_file(&pointer).map_err(disk)?,
            None => {}
        }
        let blob = entry.tag().map(|tag| self.snapshot.blob(tag));
        // hf-hub appends to the part that it finds: one that is not shorter than the file cannot be gone on with.
        if let (Some(blob), Some(size)) = (&blob, entry.size) {
            let part = blob.with_extension("part");
            if len(&part).is_some_and(|len| len >= size) {
                fs::remove_file(&part).map_err(disk)?;
            }
        }
        let observer = self.observer.clone();
        let transfer = Transfer { bar: self.console.bar(), console: self.console, announced: false, observer };
        let pointer =
            self.repo.download_with_progress(file, transfer).map_err(|error| DownloadFailure::from_api(error, file))?;
        if let Err(reason) = check(&pointer, entry).map_err(disk)? {
            // The link's target first; where the system has no symbolic links they are one file.
            if let Ok(contents) = pointer.canonicalize() {
                fs::remove_file(contents).map_err(disk)?;
            }
            let _ = fs::remove_file(&pointer);
            return Err(DownloadFailure::Corrupt { file: file.into(), reason });
        }
        Ok(pointer)
    }
}

/// Tries again where that may help.
fn persist<T>(mut attempt: impl FnMut() -> Result<T, DownloadFailure>) -> Result<T, DownloadFailure> {
    for pause_ms in RETRY_AFTER_MS {
        match attempt() {
            Err(failure) if failure.is_passing() => {
                tracing::info!(?failure, pause_ms, "trying again");
                std::thread::sleep(Duration::from_millis(pause_ms));
            }
            done => return done,
        }
    }
    attempt()
}

fn len(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

/// Compares a file with what the hub said of it: its size and, for a large one, its hash. The inner error says how
/// it differs.
fn check(path: &Path, entry: &Entry) -> io::Result<Result<(), String>> {
    let mut file = File::open(path)?;
    let actual = file.metadata()?.len();
    if let Some(size) = entry.size.filter(|size| *size != actual) {
        return Ok(Err(format!("{actual} bytes instead of {size}")));
    }
    if let Some(expected) = entry.sha256() {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if !hash.eq_ignore_ascii_case(expected) {
            return Ok(Err(format!("SHA-256 {hash} instead of {expected}")));
        }
    }
    Ok(Ok(()))
}

/// Shows one file's download: a bar on a terminal, a line elsewhere.
struct Transfer {
    bar: ProgressBar,
    console: Console,
    announced: bool,
    observer: Option<Observer>,
}

impl Transfer {
    /// Tells the observer of every hundredth of the file that `size` more bytes complete.
    fn observe(&self, size: usize) {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let hundredths = |bytes: u64| bytes.saturating_mul(100).checked_div(total);
        if let Some(observer) = &self.observer
            && hundredths(done) != hundredths(done.saturating_sub(size as u64))
        {
            observer(done, total);
        }
    }
}

impl Progress for Transfer {
    fn init(&mut self, size: usize, filename: &str) {
        if !self.announced && self.bar.is_hidden() {
            self.console.note(&format!("downloading {filename} ({})", figures::bytes(size as u64)));
        }
        self.announced = true;
        self.bar.set_style(output::bar_style("{bytes}/{total_bytes} {bytes_per_sec}"));
        self.bar.set_message(filename.to_owned());
        self.bar.set_length(size as u64);
        self.bar.set_position(0);
    }

    fn update(&mut self, size: usize) {
        self.bar.inc(size as u64);
        self.observe(size);
    }

    fn finish(&mut self) {
        self.bar.finish();
    }
}
