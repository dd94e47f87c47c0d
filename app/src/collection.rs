//! The reports that this computer keeps, its own and those of other devices: one SQLite file.
//!
//! Each insertion is one transaction with a rollback journal, synced before it counts: a program that ends in the middle
//! of one leaves what was there before. A report is kept as the text that it came as, beside what lists need. Nobody but the
//! user reads it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;
use sha2::{Digest, Sha256};
use understory_lab::report::Report;

use crate::folders;

/// `PRAGMA user_version` of the table below.
const VERSION: u32 = 1;
const TABLE: &str = "
    CREATE TABLE reports (
        run_id TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,
        scenario TEXT NOT NULL,
        device TEXT NOT NULL,
        started_at TEXT NOT NULL,
        received_at TEXT NOT NULL,
        json TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;";

/// Characters of a run's id.
const LONGEST_ID: usize = 200;

pub struct Collection(Connection);

/// A report as lists show it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub run_id: String,
    pub scenario: String,
    pub device: String,
    pub started_at: String,
    /// ISO 8601, UTC
    pub received_at: String,
    /// [`digest`]
    pub sha256: String,
}

/// What became of a report.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    New,
    /// The same contents were there, under this id.
    Known(String),
    /// Other contents were there under the report's id.
    Conflict,
}

/// The file that `--db` names, or the one in the user's data folder.
///
/// # Errors
/// Where there is neither.
pub fn place(db: Option<&Path>) -> Result<PathBuf> {
    let usual = || folders::data().map(|folder| folder.join("reports.sqlite"));
    db.map(Path::to_owned).or_else(usual).context("there is no home folder to keep reports in; name a file with --db")
}

impl Collection {
    /// The collection in `file`, which is made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be opened, or is something else.
    pub fn open(file: &Path) -> Result<Self> {
        let cannot = || format!("cannot open the collection of reports {}; name another with --db", file.display());
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_own(folder).with_context(cannot)?;
        }
        make_file_own(file).with_context(cannot)?;
        Connection::open(file).map_err(anyhow::Error::from).and_then(Self::prepare).with_context(cannot)
    }

    /// As [`open`](Self::open), but makes no file: where there is none, the collection is empty.
    pub fn open_if_there(file: &Path) -> Result<Self> {
        if file.exists() { Self::open(file) } else { Self::prepare(Connection::open_in_memory()?) }
    }

    fn prepare(mut connection: Connection) -> Result<Self> {
        // With the journal's end synced too, nothing that was confirmed is lost to a power cut either.
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables: u32 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        match (version, tables) {
            (0, 0) => transaction.execute_batch(TABLE)?,
            (VERSION, _) => {}
            (0, _) => bail!("it is a database of another program"),
            _ => bail!("it is of version {version}; this understory knows version {VERSION}"),
        }
        transaction.commit()?;
        Ok(Self(connection))
    }

    /// Keeps `report`, of which `json` is the text.
    ///
    /// # Errors
    /// Where it cannot be written, or has an id that [`check_id`] refuses.
    pub fn add(&mut self, report: &Report, json: &str) -> Result<Added> {
        check_id(&report.run_id)?;
        let sha256 = digest(report)?;
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let there: Option<(String, String)> = transaction
            .query_row(
                "SELECT run_id, sha256 FROM reports WHERE run_id = ?1 OR sha256 = ?2",
                params![report.run_id, sha256],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        match there {
            Some((id, of)) if of == sha256 => return Ok(Added::Known(id)),
            Some(_) => return Ok(Added::Conflict),
            None => {}
        }
        transaction.execute(
            "INSERT INTO reports VALUES (?1, ?2, ?3, ?4, ?5, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?6)",
            params![report.run_id, sha256, report.protocol.scenario, report.device.label, report.started_at, json],
        )?;
        transaction.commit()?;
        Ok(Added::New)
    }

    /// All of them, in the order in which they were measured.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut query = self.0.prepare(
            "SELECT run_id, scenario, device, started_at, received_at, sha256 FROM reports ORDER BY started_at, run_id",
        )?;
        let entry = |row: &rusqlite::Row<'_>| {
            Ok(Entry {
                run_id: row.get(0)?,
                scenario: row.get(1)?,
                device: row.get(2)?,
                started_at: row.get(3)?,
                received_at: row.get(4)?,
                sha256: row.get(5)?,
            })
        };
        Ok(query.query_map([], entry)?.collect::<Result<_, _>>()?)
    }

    /// The whole id of the one report whose id is `id`, or begins with it.
    ///
    /// # Errors
    /// Where there is none, or more than one.
    pub fn find(&self, id: &str) -> Result<String> {
        let mut query =
            self.0.prepare("SELECT run_id FROM reports WHERE substr(run_id, 1, length(?1)) = ?1 ORDER BY run_id")?;
        let found: Vec<String> = query.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
        match &found[..] {
            [] => bail!("no report's id begins with `{id}`; `understory reports list` shows them"),
            [one] => Ok(one.clone()),
            [first, second, ..] if first != id => bail!(
                "{} reports begin with `{id}`, such as {first} and {second}; give more of the one that is meant",
                found.len()
            ),
            [exact, ..] => Ok(exact.clone()),
        }
    }

    /// The text of the report with the whole id `run_id`.
    pub fn json(&self, run_id: &str) -> Result<String> {
        let json = self.0.query_row("SELECT json FROM reports WHERE run_id = ?1", [run_id], |row| row.get(0));
        json.with_context(|| format!("cannot read the report {run_id}"))
    }

    /// Deletes all of `run_ids`, or none.
    pub fn delete(&mut self, run_ids: &[String]) -> Result<()> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for run_id in run_ids {
            transaction.execute("DELETE FROM reports WHERE run_id = ?1", [run_id])?;
        }
        Ok(transaction.commit()?)
    }
}

/// Makes the folder where it is not there, for the user alone. One that is there is tightened if it is the program's own;
/// another may be anybody's, such as the one for temporary files.
fn make_own(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    if folders::data().is_some_and(|own| own == folder) {
        tighten(folder);
    }
    Ok(())
}

/// Makes an empty file where there is none, for the user alone, and tightens one that is there. SQLite gives its journal
/// the permissions of the file.
fn make_file_own(file: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match fs::metadata(file) {
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(_) => {
            tighten(file);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Leaves others no permissions, as far as the user may say so.
fn tighten(path: &Path) {
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(path) {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = found.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(permissions.mode() & 0o700);
            if let Err(error) = fs::set_permissions(path, permissions) {
                tracing::warn!(path = %path.display(), "others may be able to read this: {error}");
            }
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// # Errors
/// Says what an id must be.
pub fn check_id(run_id: &str) -> Result<()> {
    let length = run_id.chars().count();
    if length == 0 || length > LONGEST_ID || run_id.chars().any(char::is_control) {
        bail!("run_id has {length} characters; expected 1 to {LONGEST_ID}, none of them a control character");
    }
    Ok(())
}

/// SHA-256 of what the report says but for its id, in the order of the schema: white space does not count, and neither
/// does a new name for the same measurement.
pub fn digest(report: &Report) -> Result<String> {
    let nameless = Report { run_id: String::new(), ..report.clone() };
    let json = serde_json::to_vec(&nameless).context("cannot write the report as JSON")?;
    Ok(Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use understory_lab::report::{MAX_BYTES, read};

    use super::*;

    /// What the umask leaves is for everybody. A folder that somebody else may own is left alone.
    #[test]
    #[cfg(unix)]
    fn nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = folder.path().join("made").join("reports.sqlite");
        drop(Collection::open(&file).unwrap());
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(&file, 0o664);
        set(file.parent().unwrap(), 0o755);
        drop(Collection::open(&file).unwrap());
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o755));
        let message = format!("{:#}", Collection::open(Path::new("/dev/null")).err().unwrap());
        assert!(message.contains("it is not a regular file"), "{message}");
    }

    /// The files as they are in the middle of an insertion are those of a program that ended there. Tried and caught: a
    /// journal in memory.
    #[test]
    fn half_an_insertion_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let text = include_str!("../../bench/runs/2026-11-22-lavapipe-2core-quick/report.json");
        let report = read("report.json", text.as_bytes(), MAX_BYTES).unwrap();
        let mut collection = Collection::open(&file("a")).unwrap();
        assert_eq!(collection.add(&report, text).unwrap(), Added::New);
        assert_eq!(collection.add(&report, text).unwrap(), Added::Known(report.run_id.clone()));
        let size = || fs::metadata(file("a")).unwrap().len();
        let before = size();

        // What does not fit into memory is written before its transaction ends.
        collection.0.pragma_update(None, "cache_size", 1).unwrap();
        let transaction = collection.0.transaction().unwrap();
        transaction.execute("UPDATE reports SET run_id = 'lost', json = ''", []).unwrap();
        for nth in 0..8 {
            let values = params![nth.to_string(), text];
            transaction.execute("INSERT INTO reports VALUES (?1, ?1, '', '', '', '', ?2)", values).unwrap();
        }
        assert!(size() > before, "nothing was written yet");
        for (from, to) in [("a", "b"), ("a-journal", "b-journal")] {
            fs::copy(file(from), file(to)).unwrap();
        }
        drop(transaction);
        let left = Collection::open(&file("b")).unwrap();
        let ids: Vec<String> = left.list().unwrap().into_iter().map(|entry| entry.run_id).collect();
        assert_eq!(ids, std::slice::from_ref(&report.run_id));
        assert_eq!(left.json(&report.run_id).unwrap(), text);
    }
}
