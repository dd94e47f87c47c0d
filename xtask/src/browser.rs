//! The page's tests: Node drives a headless Chromium through `web/tests`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, process, setup};

/// How many tests passed and failed.
pub type Counts = (u64, u64);

/// Runs the tests of `web/tests` on the page in `web/dist`, with `understory` as the native engine.
///
/// # Errors
/// If Node, Chromium or the driver of the tests cannot be had, or the tests end without a count.
pub fn test(understory: &Path) -> Result<Counts> {
    ensure_tools()?;
    let tests = process::root()?.join("web/tests");
    setup::ensure_adapter()?;
    let mut command = Command::new("node");
    command.env("UNDERSTORY_BIN", understory);
    command.args(["--test", "--test-reporter=tap", "--test-concurrency=1"]).arg(format!("{}/", tests.display()));
    let (mut passed, mut failed) = (None, None);
    let success = process::run_lines(&mut command, |line| {
        passed = passed.or(count(line, "# pass "));
        failed = failed.or(count(line, "# fail "));
    })?;
    match (passed, failed) {
        (Some(passed), Some(failed)) if success || failed > 0 => Ok((passed, failed)),
        _ => bail!("the browser's tests ended without a result"),
    }
}

/// Node 20 or newer, Chromium, and the packages that the tests name.
fn ensure_tools() -> Result<()> {
    let missing = |program: &str| !process::answers(program, &["--version"]);
    let mut wanted = Vec::new();
    if missing("node") {
        wanted.push("nodejs");
    }
    if missing("npm") {
        wanted.push("npm");
    }
    if std::env::var_os("CHROMIUM").is_none() && missing("chromium") {
        wanted.push("chromium");
    }
    if !wanted.is_empty() {
        packages::apt_install(&wanted).with_context(|| {
            format!("the browser's tests need {}; CHROMIUM names another Chromium", wanted.join(", "))
        })?;
    }
    let tests = process::root()?.join("web/tests");
    if !tests.join("node_modules/playwright-core").is_dir() {
        process::run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--prefix"]).arg(&tests))?;
    }
    Ok(())
}

/// The number after `label`, the closing lines of TAP.
fn count(line: &str, label: &str) -> Option<u64> {
    line.strip_prefix(label)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as Node 20 prints them. Reading `# tests` for the passed ones fails this.
    #[test]
    fn closing_lines_are_read() {
        assert_eq!(count("# pass 12", "# pass "), Some(12));
        assert_eq!(count("# fail 0", "# fail "), Some(0));
        assert_eq!(count("# tests 12", "# pass "), None);
        assert_eq!(count("ok 1 - # pass 3", "# pass "), None);
    }
}
