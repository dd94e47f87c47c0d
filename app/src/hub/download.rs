//! From the hub into the cache, file by file. The list of files names the commit, the files and their hashes; nothing
//! is written under a name that a header brought.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understory_model::repository::{CONFIG, Entry, Hash, Limits, Listing, OPTIONAL, TOKENIZER, WEIGHTS, WEIGHTS_INDEX};

use super::failure::DownloadFailure;
use super::http::{Address, Client, Ends, escaped};
use super::listing::list;
use super::lock::{self, Lock, Taken};
use super::part::Part;
use super::progress::Transfer;
use super::snapshot::{Snapshot, shards};
use super::transfer::Wanted;
use super::{Hub, HubName};

/// Bytes of a file that is read whole: all but the weights.
const MOST_SMALL_BYTES: u64 = 256 << 20;
/// How often another program's lock is tried.
const LOOK: Duration = Duration::from_millis(200);
/// The variable that shortens waits, for this program's own tests.
const IDLE_MS: &str = "UNDERSTORY_TEST_HUB_IDLE_MS";

impl Hub {
    /// Downloads what is missing of `name` and records its revision once everything is there. Returns the folder, or the
    /// first of the GGUF files.
    pub(super) fn download(&self, name: &HubName) -> Result<PathBuf, DownloadFailure> {
        let limits = limits();
        let endpoint =
            Address::parse(&self.endpoint).map_err(|reason| DownloadFailure::NotAHub(format!("it {reason}")))?;
        let ends: Ends = self.observer.as_ref().map_or_else(|| Arc::new(|| false) as _, |of| Arc::clone(&of.ends));
        let client = Client::new(endpoint, self.token.as_deref(), limits.connect, ends);
        let client = client.map_err(|trouble| DownloadFailure::of(trouble, None))?;
        let listing = list(&client, &self.endpoint, name, limits)?;
        let gguf = listing.model_files(name.gguf.as_ref()).map_err(DownloadFailure::Unsuitable)?;
        let snapshot = Snapshot::of_commit(&self.cache, name, &listing.sha);
        let fetch = Fetch { hub: self, repo: &name.repo, client, limits, listing, snapshot };
        match &gguf {
            None => fetch.everything()?,
            Some(files) => files.iter().try_for_each(|file| fetch.file(file, u64::MAX))?,
        }
        let recorded = fetch.snapshot.record(&name.revision);
        recorded.map_err(|error| DownloadFailure::from_io(error, "the revision's entry".into()))?;
        let folder = fetch.snapshot.folder;
        Ok(gguf.as_ref().and_then(|files| files.first()).map_or_else(|| folder.clone(), |file| folder.join(file)))
    }
}

/// One download of one commit.
struct Fetch<'a> {
    hub: &'a Hub,
    repo: &'a str,
    client: Client,
    limits: Limits,
    listing: Listing,
    snapshot: Snapshot,
}

impl Fetch<'_> {
    fn everything(&self) -> Result<(), DownloadFailure> {
        for file in OPTIONAL {
            if self.listing.entry(file).is_some() {
                self.file(file, MOST_SMALL_BYTES)?;
            } else {
                self.snapshot.remember_absent(file).map_err(|error| DownloadFailure::from_io(error, file.into()))?;
            }
        }
        self.file(CONFIG, MOST_SMALL_BYTES)?;
        self.file(TOKENIZER, MOST_SMALL_BYTES)?;
        if self.listing.entry(WEIGHTS).is_some() {
            return self.file(WEIGHTS, u64::MAX);
        }
        self.file(WEIGHTS_INDEX, MOST_SMALL_BYTES)?;
        let index = self.snapshot.folder.join(WEIGHTS_INDEX);
        for shard in shards(&index).map_err(|error| DownloadFailure::Unsuitable(error.to_string()))? {
            self.file(&shard, u64::MAX)?;
        }
        Ok(())
    }

    /// Brings the file into the cache if it is not there whole.
    fn file(&self, file: &str, most: u64) -> Result<(), DownloadFailure> {
        let Some(entry) = self.listing.entry(file) else {
            return Err(DownloadFailure::Unsuitable(format!("{WEIGHTS_INDEX} names {file}, which it does not have")));
        };
        let disk = |error| DownloadFailure::from_io(error, file.into());
        let pointer = self.snapshot.folder.join(file);
        if is_whole(&pointer, entry.size).map_err(disk)? {
            return Ok(());
        }
        let path: Vec<String> = file.split('/').map(escaped).collect();
        let (endpoint, repo, commit) = (&self.hub.endpoint, self.repo, &self.listing.sha);
        let address = Address::parse(&format!("{endpoint}/{repo}/resolve/{commit}/{}", path.join("/")));
        let address = address.map_err(DownloadFailure::NotAHub)?;
        let wanted = Wanted { file, address, size: entry.size, hash: entry.hash(), most };
        match entry.hash() {
            Some(hash) => self.blob(entry, hash, &wanted),
            None => self.unnamed(&pointer, &wanted),
        }
    }

    /// The contents under their hash, and the link to them.
    fn blob(&self, entry: &Entry, hash: Hash<'_>, wanted: &Wanted<'_>) -> Result<(), DownloadFailure> {
        let disk = |error| DownloadFailure::from_io(error, wanted.file.into());
        let blob = self.snapshot.blob(hash);
        if !is_whole(&blob, entry.size).map_err(disk)? {
            let lock = self.lock(&blob, wanted.file)?;
            // Another program may have brought it meanwhile.
            if !is_whole(&blob, entry.size).map_err(disk)? {
                let part = Part::open(part_of(&blob, &lock), entry.size.unwrap_or(wanted.most)).map_err(disk)?;
                self.fill(part, wanted)?.finish(&blob).map_err(disk)?;
            }
        }
        self.snapshot.link(wanted.file, hash).map_err(disk)
    }

    /// A file of which nobody knows the hash belongs to its commit alone, and a part of it cannot be gone on with later.
    fn unnamed(&self, pointer: &Path, wanted: &Wanted<'_>) -> Result<(), DownloadFailure> {
        let disk = |error| DownloadFailure::from_io(error, wanted.file.into());
        let unnamed = self.snapshot.unnamed(wanted.file);
        let lock = self.lock(&unnamed, wanted.file)?;
        if is_whole(pointer, wanted.size).map_err(disk)? {
            return Ok(());
        }
        let part = Part::open(part_of(&unnamed, &lock), 0).map_err(disk)?;
        let part = self.fill(part, wanted)?;
        if let Some(folder) = pointer.parent() {
            fs::create_dir_all(folder).map_err(disk)?;
        }
        part.finish(pointer).map_err(disk)
    }

    fn fill(&self, mut part: Part, wanted: &Wanted<'_>) -> Result<Part, DownloadFailure> {
        let shown = Transfer::new(self.hub.console, self.hub.observer.as_ref(), wanted.file);
        match wanted.fill(&mut part, &self.client, self.limits, &shown) {
            Ok(()) => Ok(part),
            Err(failure) => {
                let is_of_use = wanted.hash.is_some() && !matches!(failure, DownloadFailure::Corrupt { .. });
                if !is_of_use {
                    // What cannot be removed is begun again next time.
                    let _ = part.remove();
                }
                Err(failure)
            }
        }
    }

    /// Waits until no other program brings the blob, as long as that one gets on; `None` where the file system has no
    /// locks.
    fn lock(&self, blob: &Path, file: &str) -> Result<Option<Lock>, DownloadFailure> {
        let disk = |error| DownloadFailure::from_io(error, file.into());
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(disk)?;
        }
        let path = self.snapshot.lock(blob);
        let (mut seen, mut since, mut is_said) = (arriving(blob), Instant::now(), false);
        loop {
            match lock::take(&path).map_err(disk)? {
                Taken::Held(lock) => return Ok(Some(lock)),
                Taken::Unsupported => return Ok(None),
                Taken::Busy => {}
            }
            if !is_said {
                self.hub.console.note(&format!("note: another program is downloading {file}; waiting for it"));
                is_said = true;
            }
            let now = arriving(blob);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > self.limits.patience {
                return Err(DownloadFailure::Locked { file: file.into() });
            }
            self.client.pause(LOOK).map_err(|trouble| DownloadFailure::of(trouble, Some(file)))?;
        }
    }
}

fn limits() -> Limits {
    let given = std::env::var(IDLE_MS).ok().and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    Limits::with_idle(given.unwrap_or(Limits::IDLE).clamp(Duration::from_millis(1), Limits::IDLE))
}

/// Where the blob lies on its way: the same for every program, unless nothing keeps them apart.
fn part_of(blob: &Path, lock: &Option<Lock>) -> PathBuf {
    let own = if lock.is_some() { String::new() } else { format!(".{}", std::process::id()) };
    let mut name = blob.as_os_str().to_owned();
    name.push(format!("{own}.incomplete"));
    name.into()
}

/// Whether the file is there with this size; one of another size is removed.
fn is_whole(path: &Path, size: Option<u64>) -> std::io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && size.is_none_or(|size| size == found.len()) => Ok(true),
        Ok(_) => fs::remove_file(path).map(|()| false),
        Err(_) => Ok(false),
    }
}

/// Bytes of what other programs have of the blob: each names its part in its own way after it.
fn arriving(blob: &Path) -> u64 {
    let entries = blob.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parts = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&name));
    parts.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}
