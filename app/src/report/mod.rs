//! What becomes of a report: a table on the terminal, and files for people and for programs.

mod charts;
pub mod comparison;
mod html;
mod page;
mod plots;
pub mod terminal;
mod view;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use understory_engine::lab::rendering;
use understory_engine::lab::report::Report;

/// Where a report's files go.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder, made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub fn make(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot write to the folder {}; give another with --out", path.display());
        fs::create_dir_all(path).with_context(cannot)?;
        let probe = path.join(format!(".understory-{}", std::process::id()));
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).with_context(cannot)?;
        Ok(Self(path.to_owned()))
    }

    pub fn page(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// Everything, each file beside its place first.
    pub fn write(&self, report: &Report) -> Result<()> {
        let json = serde_json::to_string(report).context("cannot write the report as JSON")? + "\n";
        let files = [
            ("report.json", json),
            ("samples.csv", rendering::csv(report)),
            ("report.md", rendering::markdown(report)),
            ("report.html", page::page(report)),
        ];
        files.iter().try_for_each(|(name, text)| write(&self.0.join(name), text))
    }
}

/// Writes beside `file`, then renames, so that no reader sees half of it.
pub fn write(file: &Path, text: &str) -> Result<()> {
    let Some(name) = file.file_name() else { bail!("{} names no file", file.display()) };
    let beside = file.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}
