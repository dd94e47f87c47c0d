//! What speculation costs on this device: measured once, kept in the platform's cache folder, one file for each
//! device, pair of models and build.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use understory_protocol::Costs;
use understory_runtime::Engine;

use crate::folders;

/// Changes with what the file means; another format is measured anew.
const FORMAT: u32 = 1;

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
}

/// Gives `engine` its costs, from the cache or (with `fresh` always) measured. A cache that cannot be read or written
/// is no failure.
pub async fn calibrate(engine: &mut Engine, fresh: bool) -> Result<CostCalibration> {
    let key = engine.calibration_key();
    let file = folders::cache().map(|folder| folder.join(file_name(&key)));
    let known = file.as_deref().filter(|_| !fresh).and_then(|file| read(file, &key));
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
    let entry = Entry { format: FORMAT, key, costs };
    let written = write(&file, &entry);
    if let Err(error) = &written {
        tracing::info!("the costs are not kept: {error:#}");
    }
    Ok(CostCalibration { costs: entry.costs, cached, file: written.is_ok().then_some(file) })
}

fn file_name(key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("costs-{hex}.json")
}

/// The costs in `file`; `None` where it is not there, broken, or another key's.
fn read(file: &Path, key: &str) -> Option<Costs> {
    let bytes = fs::read(file).ok()?;
    let entry = serde_json::from_slice::<Entry>(&bytes);
    let good = entry.ok().filter(|entry| entry.format == FORMAT && entry.key == key && plausible(&entry.costs));
    if good.is_none() {
        tracing::info!(file = %file.display(), "these costs are broken or old; they are measured anew");
    }
    good.map(|entry| entry.costs)
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
    written.with_context(cannot)
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
        Entry { format: FORMAT, key: "a device".into(), costs }
    }

    /// Seen to fail here: the key not compared.
    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not yet there").join(file_name("a device"));
        assert_eq!(read(&file, "a device"), None);
        write(&file, &entry()).unwrap();
        write(&file, &entry()).unwrap();
        assert_eq!(read(&file, "a device"), Some(entry().costs));
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
    }
}
