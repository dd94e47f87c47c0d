//! Child processes. What changes the machine or takes time is printed before it runs; quiet questions
//! (`answers`, `output_of`) are not.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's root: where every command runs.
///
/// # Errors
/// If xtask was started by hand, outside cargo, and the folder that it was compiled in has moved.
pub fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = manifest.parent().context("the manifest of xtask lies in no workspace")?.to_path_buf();
    if !root.join("Cargo.toml").is_file() {
        bail!("no workspace in {}; start this as `cargo xtask`", root.display());
    }
    Ok(root)
}

/// The cargo that started this process, so that one toolchain builds everything. Without a desktop session Mesa's
/// device-select layer, which would complain about that for every device opened, is off.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("NODEVICE_SELECT", "1");
    }
    command
}

/// Prints and runs a command with this terminal's streams.
///
/// # Errors
/// If it cannot be started or does not succeed; the message names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = announce(command)?;
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Prints and runs a command, shows its standard output and hands over each line of it; true on success.
///
/// # Errors
/// If it cannot be started or its output cannot be read.
pub fn run_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let shown = announce(command)?;
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = child.stdout.take().context("the child has no standard output")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.with_context(|| format!("cannot read the output of `{shown}`"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        each(&line);
    }
    Ok(child.wait()?.success())
}

/// Prints and runs a command; its standard output.
///
/// # Errors
/// If it cannot be started, does not succeed, or prints something else than text.
pub fn capture(command: &mut Command) -> Result<String> {
    let shown = announce(command)?;
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of `{shown}` is not UTF-8"))
}

/// Whether a command can be started and succeeds, its output thrown away.
pub fn answers(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The trimmed standard output of a command that succeeds.
pub fn output_of(program: impl AsRef<Path>, args: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn announce(command: &mut Command) -> Result<String> {
    command.current_dir(root()?);
    let shown = show(command);
    eprintln!("$ {shown}");
    Ok(shown)
}

/// The command as one would type it: variables, program without its folder, arguments quoted where needed.
fn show(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(key, value)| {
        value.map(|value| format!("{}={}", key.to_string_lossy(), quote(&value.to_string_lossy())))
    });
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    variables.chain(words.map(|word| quote(&word.to_string_lossy()))).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed can be pasted into a shell. Joining the words with spaces alone fails this.
    #[test]
    fn a_shown_command_can_be_pasted() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["run", "it's a story", ""]).env("VK_ICD_FILENAMES", "/a b.json").env_remove("RUSTC");
        assert_eq!(show(&command), r"VK_ICD_FILENAMES='/a b.json' cargo run 'it'\''s a story' ''");
    }
}
