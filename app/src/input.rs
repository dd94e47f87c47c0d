//! Text that comes in from files and standard input.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use understory_protocol::Error;

use crate::cli::PromptArgs;
use crate::exit::usage;

/// The prompt: the argument, a file, or standard input (`-`, or nothing given and stdin not a terminal). Files and
/// stdin are taken byte for byte, a final newline included.
pub fn prompt(args: &PromptArgs) -> Result<String> {
    let text = match (args.prompt.as_deref(), args.prompt_file.as_deref()) {
        (_, Some(path)) => text_file(path)?,
        (Some(text), None) if text != "-" => text.to_owned(),
        (None, None) if io::stdin().is_terminal() => {
            return Err(usage("no prompt: give one as an argument, with --prompt-file, or on standard input"));
        }
        _ => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
            utf8(bytes, "standard input")?
        }
    };
    if text.is_empty() {
        return Err(Error::EmptyPrompt.into());
    }
    Ok(text)
}

/// A whole text file.
pub fn text_file(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    utf8(bytes, &path.display().to_string())
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
