//! Reports from files.

use std::fs;
use std::path::Path;

use anyhow::Result;
use understory_lab::report::{MAX_BYTES, Report, check_size, read};

use crate::input;

/// The report at `path`, and its text; a folder stands for the report.json in it.
///
/// # Errors
/// Where it cannot be read, is no regular file, or is no report.
pub fn open(path: &Path) -> Result<(Report, String)> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let name = path.display().to_string();
    if let Ok(found) = fs::metadata(&path) {
        check_size(&name, found.len(), MAX_BYTES)?;
    }
    let bytes = input::regular(&path, MAX_BYTES)?;
    Ok((read(&name, &bytes, MAX_BYTES)?, input::utf8(bytes, &name)?))
}
