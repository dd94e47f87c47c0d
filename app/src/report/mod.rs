//! What becomes of a report: a table on the terminal, and files for people and for programs.

pub mod comparison;
pub mod file;
pub mod terminal;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use understory_lab::report::Report;
use understory_lab::{html, rendering};

use crate::files;

/// Where a report's files go.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder, made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub fn make(path: &Path) -> Result<Self> {
        files::make_folder("--out", path)?;
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
            ("report.html", html::report::page(report)),
        ];
        files.iter().try_for_each(|(name, text)| files::write(&self.0.join(name), text))
    }
}
