//! `cargo xtask fuzz`: the targets of `fuzz/`, for longer than the tests give them.

use anyhow::{Context, Result, bail};

use crate::process;

/// Runs every target, or the one that is named.
///
/// # Errors
/// For arguments that are none, and where an input fails; the test says where it lies.
pub fn run(args: &[String]) -> Result<()> {
    let (mut seconds, mut seed, mut target) = (300, 1, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let number = |value: Option<&String>| -> Result<u64> {
            let value = value.with_context(|| format!("{arg} takes a number"))?;
            value.parse().with_context(|| format!("{arg} {value}: expected a number"))
        };
        match arg.as_str() {
            "--seconds" => seconds = number(args.next())?,
            "--seed" => seed = number(args.next())?,
            name if target.is_none() && !name.starts_with('-') => target = Some(name.to_owned()),
            _ => bail!("`fuzz` takes --seconds N, --seed N and one target, got `{arg}`"),
        }
    }
    let mut command = process::cargo();
    command.args(["test", "--release", "--package", "understory-fuzz", "--test", "targets", "--", "--nocapture"]);
    command.args(target);
    command.env("UNDERSTORY_FUZZ_SECONDS", seconds.to_string()).env("UNDERSTORY_FUZZ_SEED", seed.to_string());
    process::run(&mut command)
}
