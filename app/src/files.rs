//! Files that a command leaves: written beside their place, then renamed, so that no reader sees half of one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Makes the folder that `flag` names where it is not there, before anything is made for it.
///
/// # Errors
/// Where it cannot be made or written.
pub fn make_folder(flag: &str, path: &Path) -> Result<()> {
    let cannot = || format!("cannot write to the folder {}; give another with {flag}", path.display());
    fs::create_dir_all(path).with_context(cannot)?;
    let probe = path.join(format!(".understory-{}", std::process::id()));
    fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).with_context(cannot)
}

/// Puts `text` in place of what the file held.
///
/// # Errors
/// Where it cannot be written.
pub fn write(file: &Path, text: &str) -> Result<()> {
    write_bytes(file, text.as_bytes(), &mut File::options())
}

/// As [`write()`], for what nobody but the user may read.
///
/// # Errors
/// Where it cannot be written.
pub fn write_secret(file: &Path, text: &str) -> Result<()> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write_bytes(file, text.as_bytes(), &mut options)
}

/// Puts `bytes` in place of what the file held; `options` may say who can read them.
///
/// # Errors
/// Where it cannot be written.
pub fn write_bytes(file: &Path, bytes: &[u8], options: &mut OpenOptions) -> Result<()> {
    let Some(name) = file.file_name() else { bail!("{} names no file", file.display()) };
    let beside = file.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    // One that a program left that is no more has another's permissions.
    let _ = fs::remove_file(&beside);
    let opened = options.write(true).create_new(true).open(&beside);
    let written = opened.and_then(|mut opened| opened.write_all(bytes)).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}
