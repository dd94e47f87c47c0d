//! Text that comes in from files and standard input, none of it without an end.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use understory_protocol::Error;

use crate::cli::PromptArgs;
use crate::exit::usage;

/// The longest text that is read: far more than any model's context.
pub const MOST_BYTES: u64 = 64 << 20;

/// The prompt: the argument, a file, or standard input (`-`, or nothing given and stdin not a terminal). Files and
/// stdin are taken byte for byte, a final newline included.
pub fn prompt(args: &PromptArgs) -> Result<String> {
    let text = match (args.prompt.as_deref(), args.prompt_file.as_deref()) {
        (_, Some(path)) => text_file(path)?,
        (Some(text), None) if text != "-" => text.to_owned(),
        (None, None) if io::stdin().is_terminal() => {
            return Err(usage("no prompt: give one as an argument, with --prompt-file, or on standard input"));
        }
        _ => stdin()?,
    };
    if text.is_empty() {
        return Err(Error::EmptyPrompt.into());
    }
    Ok(text)
}

/// All of standard input.
///
/// # Errors
/// As [`text_file`].
pub fn stdin() -> Result<String> {
    let source = "standard input";
    utf8(whole(io::stdin().lock(), source).with_context(|| format!("cannot read {source}"))?, source)
}

/// A whole text file; also a pipe, as a shell's `<(command)` is one.
///
/// # Errors
/// Where it cannot be read, has more than 64 MiB, or is not UTF-8.
pub fn text_file(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let opened = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    utf8(whole(opened, &name).map_err(|error| at(path, error))?, &name)
}

/// The io error behind `error` with its path; any other as it is.
fn at(path: &Path, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<io::Error>() {
        Ok(source) => Error::Io { path: path.to_owned(), source }.into(),
        Err(other) => other,
    }
}

fn whole(source: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!("{name} has more than {} MiB; expected a text", MOST_BYTES >> 20);
    }
    Ok(bytes)
}

/// The first `most + 1` bytes of the file, so that more than `most` show as too many. It is a regular file, or one that
/// another program hands over open (`<(command)`): what else a name may stand for could keep its reader for ever.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, and where it is a device or a named pipe.
pub fn regular(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let is_handed_over = ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|parent| path.starts_with(parent));
    if !fs::metadata(path).map_err(io)?.is_file() && !is_handed_over {
        return Err(io(io::Error::other("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(io)?;
    Ok(bytes)
}

/// `bytes` as text; the error names `source` and the first byte that is not UTF-8.
pub fn utf8(bytes: Vec<u8>, source: &str) -> Result<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[at];
            bail!("{source} is not valid UTF-8: byte {byte:#04x} at offset {at}. Convert it to UTF-8 first");
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Reading what has no end takes all memory, or waits for ever.
    #[test]
    fn what_has_no_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
            let message = regular(path, 1000).unwrap_err().to_string();
            assert!(message.contains("it is not a regular file"), "{message}");
        }
        let message = text_file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(message.contains("/dev/zero has more than 64 MiB"), "{message}");
        assert!(text_file(folder.path()).unwrap_err().to_string().contains("cannot read"));
    }
}
