//! `cargo xtask test`: every check of the workspace, each run even when one before it failed, and a closing
//! line `N passed, N failed` that counts single tests and one for every other check.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{bench, browser, crate_order, features, links, packages, process, setup, sizes, web};

/// Tools, built apart from what is shipped: their dependencies would bring other features into it.
pub const APART: [&str; 2] = ["understory-bindgen", "xtask"];

/// How many tests (or checks) held and how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// Runs everything, prints a table and the closing line. A failed check is counted; the exit code says it.
pub fn all() -> ExitCode {
    let mut report = Report::default();
    report.step("set-up", || setup::ensure_adapter().and_then(|()| packages::ensure_components()).map(one));
    report.texts();
    report.step("clippy", || process::run(&mut clippy()).map(one));
    report.step("docs", || process::run(&mut docs()).map(one));
    report.step("tests", tests);
    report.step("page", || web::build().and_then(|dist| sizes::check(&dist)).map(one));
    report.step("browser tests", browser_tests);
    report.close()
}

/// Runs the checks that compile nothing.
pub fn texts() -> ExitCode {
    let mut report = Report::default();
    report.texts();
    report.close()
}

/// What the steps so far came to.
#[derive(Default)]
struct Report {
    rows: Vec<(&'static str, Tally, Duration)>,
}

impl Report {
    /// Runs one step; an error is shown and counts as one failure.
    fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<Tally>) {
        eprintln!("\n== {name}");
        let started = Instant::now();
        let tally = run().unwrap_or_else(|error| {
            eprintln!("xtask: {name}: {error:#}");
            Tally { passed: 0, failed: 1 }
        });
        self.rows.push((name, tally, started.elapsed()));
    }

    fn texts(&mut self) {
        self.step("formatting", || process::run(process::cargo().args(["fmt", "--all", "--check"])).map(one));
        self.step("crate order", || crate_order::check().map(one));
        self.step("links", || links::check().map(one));
        // Other systems have packages of their own: there a second compilation costs time and fails nothing.
        if cfg!(target_os = "linux") {
            self.step("features", || features::check().map(one));
        }
    }

    fn close(&self) -> ExitCode {
        let mut total = Tally::default();
        eprintln!("\n{:<14}{:>8}{:>8}{:>10}", "step", "passed", "failed", "time");
        for (name, tally, time) in &self.rows {
            eprintln!("{name:<14}{:>8}{:>8}{:>10}", tally.passed, tally.failed, minutes(*time));
            total.passed += tally.passed;
            total.failed += tally.failed;
        }
        for (name, ..) in self.rows.iter().filter(|(_, tally, _)| tally.failed > 0) {
            eprintln!("xtask: failed: {name}");
        }
        println!("{} passed, {} failed", total.passed, total.failed);
        if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A check that holds counts once.
fn one((): ()) -> Tally {
    Tally { passed: 1, failed: 0 }
}

fn clippy() -> Command {
    let mut command = process::cargo();
    command.args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    command
}

/// The documentation of every crate, from what clippy has just checked: nothing of others is compiled for it.
fn docs() -> Command {
    let mut command = process::cargo();
    command.args(["doc", "--release", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// Every test, the documentation's included.
fn tests() -> Result<Tally> {
    let mut shipped = process::cargo();
    shipped.args(["test", "--release", "--workspace", "--no-fail-fast"]);
    shipped.args(APART.iter().flat_map(|name| ["--exclude", *name]));
    // Tests keep every core busy: lavapipe need not spread each dispatch over threads of its own.
    shipped.env("LP_NUM_THREADS", "0");
    // A text that differs from its snapshot fails, and nothing is written.
    shipped.env("INSTA_UPDATE", "no");
    // As `cargo xtask` builds it. The other tool has no tests: the page's build runs it.
    let mut own = process::cargo();
    own.args(["test", "--package", "xtask"]);
    let (mut tally, own) = (cargo_test(&mut shipped)?, cargo_test(&mut own)?);
    tally.passed += own.passed;
    tally.failed += own.failed;
    Ok(tally)
}

/// Runs tests and counts them. A run that fails without a failed test (it does not compile, or a test binary dies)
/// counts as one failure.
fn cargo_test(command: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let success = process::run_lines(command, |line| {
        if let Some(result) = parse_result(line) {
            tally.passed += result.passed;
            tally.failed += result.failed;
        }
    })?;
    if !success && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// The page's tests, with the program of the tests before them: it has the same features, so nothing is compiled.
fn browser_tests() -> Result<Tally> {
    let (passed, failed) = browser::test(&bench::understory()?)?;
    Ok(Tally { passed, failed })
}

/// Reads libtest's closing line, `test result: ok. 3 passed; 0 failed; 0 ignored; ...`.
fn parse_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        let entry = counts.split("; ").find_map(|entry| entry.trim().strip_suffix(what))?;
        entry.trim().parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")? })
}

fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as cargo 1.95 prints them. Taking the first number of the line for both counts fails this.
    #[test]
    fn result_lines_are_read() {
        let good = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s";
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s";
        assert_eq!(parse_result(good), Some(Tally { passed: 12, failed: 0 }));
        assert_eq!(parse_result(bad), Some(Tally { passed: 3, failed: 2 }));
        assert_eq!(parse_result("test greedy_ids_match ... ok"), None);
        assert_eq!(parse_result("test result: ok. garbage"), None);
    }
}
