//! `understory compare`: reports side by side.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use understory_engine::Error;
use understory_engine::lab::compare::compare;
use understory_engine::lab::html;
use understory_engine::lab::report::{MAX_BYTES, Report, check_size, read};

use crate::cli::CompareArgs;
use crate::files;
use crate::output::{self, Console};
use crate::report::comparison;

pub fn run(args: &CompareArgs, console: &Console) -> Result<()> {
    if args.reports.len() < 2 {
        bail!("one report alone cannot be compared; give two or more");
    }
    let reports = args.reports.iter().map(|path| read_file(path)).collect::<Result<Vec<_>>>()?;
    let comparison = compare(&reports)?;
    if let Some(file) = &args.html {
        files::write(file, &html::comparison::page(&comparison, None))?;
    }
    if args.json {
        output::json(&comparison)?;
    } else {
        output::text(&comparison::text(&comparison))?;
    }
    if let Some(file) = &args.html {
        console.note(&format!("\npage: {}", file.display()));
    }
    Ok(())
}

/// A folder stands for the report in it.
fn read_file(path: &Path) -> Result<Report> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let io = |source| Error::Io { path: path.clone(), source };
    let name = path.display().to_string();
    check_size(&name, fs::metadata(&path).map_err(io)?.len(), MAX_BYTES)?;
    Ok(read(&name, &fs::read(&path).map_err(io)?, MAX_BYTES)?)
}
