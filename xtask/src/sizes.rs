//! What the page weighs on its way to a browser, compressed as servers compress it, against a budget.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Code that a visitor loads together, and the kilobytes (1000 bytes) that it may take with gzip: the interface is on
/// screen once the first is there, the engine can start once the second is. Of the page's, the cards of the catalogue take
/// 6 (their data is a file of its own), and measuring beside requests 3.
const BUDGETS: [(&str, &[&str], usize); 2] = [
    ("page", &["start.js", "page.js", "page_bg.wasm"], 417),
    ("worker", &["worker.js", "engine.js", "engine_bg.wasm"], 3000),
];

/// Prints the sizes.
///
/// # Errors
/// If a file cannot be read, or a budget is exceeded.
pub fn check(dist: &Path) -> Result<()> {
    let mut over = Vec::new();
    for (name, files, budget) in BUDGETS {
        let mut bytes = 0;
        for file in files {
            let path = dist.join(file);
            bytes += gzip(&fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?)?;
        }
        eprintln!("{name}: {:.0} KB with gzip, of {budget} KB", bytes as f64 / 1e3);
        if bytes > budget * 1000 {
            over.push(name);
        }
    }
    if !over.is_empty() {
        bail!("too large: {}; the budgets stand in xtask/src/sizes.rs", over.join(", "));
    }
    Ok(())
}

fn gzip(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}
