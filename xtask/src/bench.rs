//! `cargo xtask bench`: speed on this machine, printed and kept as raw data. Nothing here asserts a speed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, setup};

/// Runs every benchmark into a folder, `target/bench` unless one is named.
///
/// # Errors
/// If the folder cannot be made or a benchmark fails.
pub fn all(args: &[String]) -> Result<()> {
    let out = match args {
        [] => PathBuf::from("target/bench"),
        [dir] => PathBuf::from(dir),
        _ => bail!("`bench` takes one folder, got `{}`", args.join(" ")),
    };
    let out = process::root()?.join(out);
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    setup::ensure_adapter()?;
    kernels(&out)?;
    peers(&out)?;
    eprintln!("raw data: {}", out.display());
    Ok(())
}

/// Time, bandwidth and arithmetic rate of every kernel, and the cost of verifying n rows at once.
fn kernels(out: &Path) -> Result<()> {
    let mut text = String::new();
    let success = process::run_lines(process::understory().arg("kernels"), |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    if !success {
        bail!("`understory kernels` failed");
    }
    fs::write(out.join("kernels.txt"), text).context("cannot keep the output of `understory kernels`")
}

/// Greedy decoding by llama.cpp and by the release build, interleaved (bench/peers).
fn peers(out: &Path) -> Result<()> {
    let binary = release_dir()?.join(format!("understory{}", env::consts::EXE_SUFFIX));
    let mut command = Command::new("bash");
    command.arg("bench/peers/run.sh").arg("--understory").arg(binary).arg("--out").arg(out);
    process::run(&mut command)
}

/// Where cargo puts release builds: beside the `debug` folder that this binary was built into.
fn release_dir() -> Result<PathBuf> {
    let this = env::current_exe().context("cannot tell where xtask lies")?;
    let target = this.parent().and_then(Path::parent).context("xtask lies in no target folder")?;
    Ok(target.join("release"))
}
