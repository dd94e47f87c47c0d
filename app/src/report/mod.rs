//! What becomes of a report: a table on the terminal, and files for people and for programs.

pub mod comparison;
pub mod file;
pub mod terminal;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use understory_lab::report::Report;
use understory_lab::{html, rendering};

use crate::files;
use crate::outputs::Outputs;

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

    /// Everything, each file beside its place first; whether all were written.
    pub fn write(&self, report: &Report, outputs: &mut Outputs) -> bool {
        let json = serde_json::to_string(report).context("cannot write the report as JSON").map(|json| json + "\n");
        let mut write = |name: &str, text: &str| outputs.attempt(files::write(&self.0.join(name), text));
        let raw = match &json {
            Ok(json) => write("report.json", json),
            Err(_) => false,
        };
        let csv = write("samples.csv", &rendering::csv(report));
        let markdown = write("report.md", &rendering::markdown(report));
        let page = write("report.html", &html::report::page(report));
        outputs.attempt(json.map(drop)) && raw && csv && markdown && page
    }
}
