//! What speculation costs on this device: measured once, or beside the first texts, and kept in the platform's cache
//! folder, one file for each device, pair of models and build.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use understory_protocol::Costs;
use understory_runtime::Engine;
use understory_runtime::engine::Learned;

use crate::folders;

/// Changes with what the file means; another format is measured anew.
const FORMAT: u32 = 2;
/// How long somebody waits for what is learned, at the beginning and at the end.
const LINGER: Duration = Duration::from_millis(300);
/// Of a file, in bytes: nothing longer is one.
const MOST_BYTES: u64 = 64 << 10;
/// Files that are kept, the newest ones: a build, a driver or a model that is gone leaves its own behind.
const MOST_FILES: usize = 32;

/// Costs, and where they come from.
pub struct CostCalibration {
    pub costs: Costs,
    /// read from the cache, not measured now
    pub cached: bool,
    /// their file in the cache; `None` where there is no cache folder or it cannot be written
    pub file: Option<PathBuf>,
}

/// A file of the cache.
#[derive(Serialize, Deserialize)]
struct Entry {
    format: u32,
    /// in full, since the file's name is only its hash
    key: String,
    costs: Costs,
    /// All of them were measured; otherwise some are predicted, and the measurement goes on where it can.
    complete: bool,
}

/// Gives `engine` its costs, from the cache or (with `fresh` always) measured. A cache that cannot be read or written
/// is no failure.
pub async fn calibrate(engine: &mut Engine, fresh: bool) -> Result<CostCalibration> {
    let key = engine.calibration_key();
    let file = file(&key);
    let known = file.as_deref().filter(|_| !fresh).and_then(|file| read(file, &key));
    let known = known.filter(|known| known.complete).map(|known| known.costs);
    let cached = known.is_some();
    let costs = engine.calibrate(known).await?.clone();
    if cached {
        return Ok(CostCalibration { costs, cached, file });
    }
    tracing::info!(took_ms = costs.took_ms, "costs measured");
    let Some(file) = file else {
        tracing::info!("there is no home folder, so the costs are not kept");
        return Ok(CostCalibration { costs, cached, file: None });
    };
    let entry = Entry { format: FORMAT, key, costs, complete: true };
    let written = write(&file, &entry);
    if let Err(error) = &written {
        tracing::info!("the costs are not kept: {error:#}");
    }
    Ok(CostCalibration { costs: entry.costs, cached, file: written.is_ok().then_some(file) })
}

/// Hands `engine` the costs that are kept, if there are any, and learns for a moment. Where the device is fast that is all,
/// and otherwise the rest comes beside texts.
pub async fn begin(engine: &mut Engine) {
    let key = engine.calibration_key();
    if let Some(kept) = file(&key).and_then(|file| read(&file, &key)) {
        engine.begin_with(kept);
    }
    linger(engine).await;
}

/// Goes on for a moment with what is to be learned, where a program has nothing else to do.
pub async fn linger(engine: &mut Engine) {
    let clock = Instant::now();
    while clock.elapsed() < LINGER {
        match engine.learn_one().await {
            Ok(true) => {}
            Ok(false) => break,
            // Texts need none of it; a lost device is found by whoever needs it.
            Err(error) => return tracing::info!("nothing will be guessed: {error}"),
        }
    }
}

/// Keeps what `engine` has learned. That it cannot be written is no failure.
pub fn keep(engine: &Engine) {
    let Some(learned) = engine.learned().filter(|learned| plausible(&learned.costs)) else { return };
    let key = engine.calibration_key();
    let Some(file) = file(&key).filter(|file| read(file, &key).as_ref() != Some(&learned)) else { return };
    let Learned { costs, complete } = learned;
    if let Err(error) = write(&file, &Entry { format: FORMAT, key, costs, complete }) {
        tracing::info!("the costs are not kept: {error:#}");
    }
}

fn file(key: &str) -> Option<PathBuf> {
    folders::cache().map(|folder| folder.join(file_name(key)))
}

fn file_name(key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("costs-{hex}.json")
}

/// What `file` says; `None` where it is not there, broken, or another key's.
fn read(file: &Path, key: &str) -> Option<Learned> {
    let mut bytes = Vec::new();
    fs::File::open(file).ok()?.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
    let entry = serde_json::from_slice::<Entry>(&bytes).ok().filter(|_| bytes.len() as u64 <= MOST_BYTES);
    let good = entry.filter(|entry| entry.format == FORMAT && entry.key == key && plausible(&entry.costs));
    if good.is_none() {
        tracing::info!(file = %file.display(), "these costs are broken or old; they are measured anew");
    }
    good.map(|Entry { costs, complete, .. }| Learned { costs, complete })
}

/// Whether a decision can be based on `costs`: times are times, rows ascend.
fn plausible(costs: &Costs) -> bool {
    let time = |ms: f64| ms.is_finite() && ms >= 0.0;
    let curve = |points: &[(usize, f64)]| {
        points.iter().all(|&(rows, ms)| rows > 0 && time(ms)) && points.is_sorted_by(|a, b| a.0 < b.0)
    };
    let fine = curve(&costs.verify_ms) && curve(&costs.draft_ms) && time(costs.fixed_ms);
    fine && !costs.verify_ms.is_empty() && time(costs.plain_ms) && costs.plain_ms > 0.0
}

/// Writes beside `file`, then renames, so that no reader sees half of it.
fn write(file: &Path, entry: &Entry) -> Result<()> {
    let folder = file.parent().context("a file of the cache has a folder")?;
    let text = serde_json::to_string(entry)?;
    let cannot = || format!("cannot write {}", file.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.with_context(cannot)?;
    forget_oldest(folder);
    Ok(())
}

/// Deletes files of costs beyond the number that is kept.
fn forget_oldest(folder: &Path) {
    let is_costs = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("costs-") && name.ends_with(".json"))
    };
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let written = path.metadata().ok().filter(|_| is_costs(&path))?.modified().ok()?;
        Some((written, path))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    for (_, file) in &files[..files.len().saturating_sub(MOST_FILES)] {
        let _ = fs::remove_file(file);
    }
}

#[cfg(test)]
mod tests {
    use understory_protocol::Lossless;

    use super::*;

    fn entry() -> Entry {
        let costs = Costs {
            verify_ms: vec![(1, 1.5), (8, 2.0)],
            draft_ms: vec![(1, 0.25)],
            plain_ms: 1.25,
            fixed_ms: 0.5,
            lossless: Lossless::Verified,
            took_ms: 200.0,
        };
        Entry { format: FORMAT, key: "a device".into(), costs, complete: false }
    }

    fn learned(Entry { costs, complete, .. }: Entry) -> Learned {
        Learned { costs, complete }
    }

    /// Seen to fail here: the key not compared.
    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not yet there").join(file_name("a device"));
        assert_eq!(read(&file, "a device"), None);
        write(&file, &entry()).unwrap();
        write(&file, &entry()).unwrap();
        assert_eq!(read(&file, "a device"), Some(learned(entry())));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "the file beside is gone");
        assert_eq!(read(&file, "another device"), None);

        let broken = |change: &dyn Fn(&mut Entry)| {
            let mut entry = entry();
            change(&mut entry);
            write(&file, &entry).unwrap();
            read(&file, "a device")
        };
        assert_eq!(broken(&|entry| entry.format += 1), None);
        assert_eq!(broken(&|entry| entry.costs.verify_ms.clear()), None);
        assert_eq!(broken(&|entry| entry.costs.verify_ms.reverse()), None);
        assert_eq!(broken(&|entry| entry.costs.draft_ms[0].1 = -1.0), None);
        // JSON has no NaN: it is written as null.
        assert_eq!(broken(&|entry| entry.costs.plain_ms = f64::NAN), None);
        let whole = serde_json::to_string(&entry()).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(read(&file, "a device"), None);
        fs::write(&file, [whole.as_bytes(), &[b' '; 1 << 20]].concat()).unwrap();
        fs::OpenOptions::new().append(true).open(&file).unwrap().set_len(1 << 32).unwrap();
        assert_eq!(read(&file, "a device"), None, "a file that was blown up is not read to its end");
        write(&file, &entry()).unwrap();
        assert_eq!(read(&file, "a device"), Some(learned(entry())), "and is written anew");
    }

    /// Seen to fail here: files of every device, model and build that ever was; other files deleted with them.
    #[test]
    fn a_bounded_number_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("another.json");
        fs::write(&other, "{}").unwrap();
        for nth in 0..MOST_FILES + 5 {
            let key = format!("device {nth}");
            write(&folder.path().join(file_name(&key)), &Entry { key, ..entry() }).unwrap();
        }
        let last = format!("device {}", MOST_FILES + 4);
        assert!(read(&folder.path().join(file_name(&last)), &last).is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_FILES + 1);
        assert!(other.exists());
    }
}
