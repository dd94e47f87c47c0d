//! Reports from files.

use std::fs;
use std::path::Path;

use anyhow::Result;
use understory_lab::report::{MAX_BYTES, Report, check_size, read};
use understory_protocol::Error;

/// The report at `path`, and its text; a folder stands for the report.json in it.
///
/// # Errors
/// Where it cannot be read, or is no report.
pub fn open(path: &Path) -> Result<(Report, String)> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let io = |source| Error::Io { path: path.clone(), source };
    let name = path.display().to_string();
    check_size(&name, fs::metadata(&path).map_err(io)?.len(), MAX_BYTES)?;
    let text = fs::read_to_string(&path).map_err(io)?;
    Ok((read(&name, text.as_bytes(), MAX_BYTES)?, text))
}
