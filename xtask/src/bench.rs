//! `cargo xtask bench`: speed on this machine, printed and kept as raw data. Nothing here asserts a speed.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, setup};

struct Options {
    rounds: u32,
    out: PathBuf,
}

/// Runs every benchmark into a folder.
///
/// # Errors
/// If the folder cannot be made or a benchmark fails.
pub fn all(args: &[String]) -> Result<()> {
    let options = parse(args)?;
    let out = process::root()?.join(options.out);
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    setup::ensure_adapter()?;
    let binary = understory()?;
    let software = kernels(&binary, &out)?;
    if !software {
        synthetic(&out)?;
    }
    peers(&binary, &out, options.rounds)?;
    eprintln!("raw data: {}", out.display());
    Ok(())
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options { rounds: 5, out: "target/bench".into() };
    for pair in args.chunks(2) {
        match pair {
            [name, value] if name == "--rounds" => {
                options.rounds = value.parse().with_context(|| format!("--rounds {value}: expected a number"))?;
            }
            [name, value] if name == "--out" => options.out = value.into(),
            _ => bail!("`bench` takes --rounds N and --out DIR, got `{}`", pair.join(" ")),
        }
    }
    Ok(options)
}

/// Time, bandwidth and arithmetic rate of every kernel, and the cost of verifying n rows at once: samples to
/// kernels.json, the table to kernels.txt. True where the adapter is a software one.
fn kernels(binary: &Path, out: &Path) -> Result<bool> {
    let (json, table) = (out.join("kernels.json"), out.join("kernels.txt"));
    let file = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    let mut command = Command::new(binary);
    command.args(["kernels", "--json"]).stdout(file(&json)?).stderr(file(&table)?);
    let result = process::run(&mut command);
    eprint!("{}", fs::read_to_string(&table)?);
    result?;
    Ok(fs::read_to_string(&json)?.contains(r#""software":true"#))
}

/// Decoding by a model of Pythia 2.8B's shape, with the bandwidth that it reaches: for real GPUs.
fn synthetic(out: &Path) -> Result<()> {
    let mut lines = String::new();
    let mut command = process::cargo();
    // With the program beside it, nothing that the program has is compiled again with other features.
    command.args(["bench", "--package", "understory-learn", "--package", "understory", "--bench", "decode"]);
    let success = process::run_lines(command.args(["--", "synthetic"]), |line| {
        lines.push_str(line);
        lines.push('\n');
    })?;
    if !success {
        bail!("the synthetic decoding benchmark failed");
    }
    fs::write(out.join("synthetic.jsonl"), lines).context("cannot keep the output of the synthetic benchmark")
}

/// Greedy decoding by llama.cpp, by the burn reference and by the release build, interleaved (bench/peers).
fn peers(binary: &Path, out: &Path, rounds: u32) -> Result<()> {
    let mut command = Command::new("bash");
    command.arg("bench/peers/run.sh").arg("--understory").arg(binary).arg("--burn").arg("--out").arg(out);
    process::run(command.arg("--runs").arg(rounds.to_string()))
}

/// Builds the command line for release; where it lies.
///
/// # Errors
/// If it does not compile, or it cannot be told where builds lie.
pub fn understory() -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--release", "--package", "understory"]))?;
    Ok(release_dir()?.join(format!("understory{}", env::consts::EXE_SUFFIX)))
}

/// Where cargo puts release builds: beside the `debug` folder that this binary was built into.
fn release_dir() -> Result<PathBuf> {
    let this = env::current_exe().context("cannot tell where xtask lies")?;
    let target = this.parent().and_then(Path::parent).context("xtask lies in no target folder")?;
    Ok(target.join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flag without its value must not be taken for the other's value, nor a bare folder for an option.
    #[test]
    fn options_are_read() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let options = parse(&["--out", "runs/x", "--rounds", "7"]).expect("both are known");
        assert_eq!((options.rounds, options.out), (7, PathBuf::from("runs/x")));
        assert_eq!(parse(&[]).expect("neither is needed").rounds, 5);
        for wrong in [&["runs/x"][..], &["--rounds"], &["--rounds", "many"], &["--runs", "3"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
