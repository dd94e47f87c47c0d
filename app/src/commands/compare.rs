//! `understory compare`: reports side by side.

use anyhow::{Result, bail};
use understory_lab::compare::compare;
use understory_lab::html;

use crate::cli::CompareArgs;
use crate::files;
use crate::output::{self, Console};
use crate::outputs::Outputs;
use crate::report::{comparison, file};

pub fn run(args: &CompareArgs, console: &Console) -> Result<()> {
    if args.reports.len() < 2 {
        bail!("one report alone cannot be compared; give two or more");
    }
    let reports = args.reports.iter().map(|path| Ok(file::open(path)?.0)).collect::<Result<Vec<_>>>()?;
    let comparison = compare(&reports)?;
    let mut outputs = Outputs::default();
    outputs.attempt(match args.json {
        true => output::json(&comparison),
        false => output::text(&comparison::text(&comparison)),
    });
    if let Some(file) = &args.html
        && outputs.attempt(files::write(file, &html::comparison::page(&comparison, None)))
    {
        console.note(&format!("\npage: {}", file.display()));
    }
    outputs.end(Ok(()))
}
