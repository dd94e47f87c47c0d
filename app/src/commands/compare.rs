//! `understory compare`: reports side by side.

use anyhow::{Result, bail};
use understory_lab::compare::compare;
use understory_lab::html;

use crate::cli::CompareArgs;
use crate::files;
use crate::output::{self, Console};
use crate::report::{comparison, file};

pub fn run(args: &CompareArgs, console: &Console) -> Result<()> {
    if args.reports.len() < 2 {
        bail!("one report alone cannot be compared; give two or more");
    }
    let reports = args.reports.iter().map(|path| Ok(file::open(path)?.0)).collect::<Result<Vec<_>>>()?;
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
