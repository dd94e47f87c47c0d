//! Files that a command leaves. A regular file is written beside its place, then renamed, so that no reader sees half of
//! one; what is no regular file (a device, a pipe) is written into and never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Makes the folder that `flag` names where it is not there, before anything is made for it.
///
/// # Errors
/// Where it cannot be made or written.
pub fn make_folder(flag: &str, path: &Path) -> Result<()> {
    let cannot = || format!("cannot write to the folder {}; give another with {flag}", path.display());
    fs::create_dir_all(path).with_context(cannot)?;
    let probe = path.join(format!(".understory-{}", std::process::id()));
    let _ = fs::remove_file(&probe);
    File::create_new(&probe).and_then(|_| fs::remove_file(&probe)).with_context(cannot)
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

/// Puts `bytes` in place of what the file held; `options` may say who can read them. A link stays: what it leads to is
/// written.
///
/// # Errors
/// Where it cannot be written, or is a folder, a disk or a socket.
pub fn write_bytes(file: &Path, bytes: &[u8], options: &mut OpenOptions) -> Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    match place(file)? {
        Place::Regular(path) => replace(&path, bytes, options).with_context(cannot),
        Place::Stream => {
            let opened = File::options().write(true).create(true).truncate(false).open(file);
            opened.and_then(|mut opened| opened.write_all(bytes)).with_context(cannot)
        }
    }
}

/// What there is to write to.
enum Place {
    /// a file, with every link to it followed, or nothing yet
    Regular(PathBuf),
    /// what takes bytes and keeps its name: a device such as `/dev/stdout`, a pipe; also what a link without a target
    /// names, which the system makes
    Stream,
}

fn place(file: &Path) -> Result<Place> {
    let cannot = || format!("cannot write {}", file.display());
    if file.file_name().is_none() {
        bail!("{} names no file", file.display());
    }
    let is_link = file.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let kind = match fs::metadata(file) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(if is_link { Place::Stream } else { Place::Regular(file.to_owned()) });
        }
        Err(error) => return Err(error).with_context(cannot),
    };
    if kind.is_file() {
        let path = if is_link { file.canonicalize().with_context(cannot)? } else { file.to_owned() };
        return Ok(Place::Regular(path));
    }
    if kind.is_dir() {
        bail!("cannot write {}: it is a folder", file.display());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_block_device() || kind.is_socket() {
            bail!("cannot write {}: it is a disk or a socket, and no file", file.display());
        }
    }
    Ok(Place::Stream)
}

/// Beside the place first. `file` is no link.
fn replace(file: &Path, bytes: &[u8], options: &mut OpenOptions) -> std::io::Result<()> {
    let name = file.file_name().unwrap_or_default();
    let beside = file.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    // One that a program left that is no more has another's permissions.
    let _ = fs::remove_file(&beside);
    let opened = options.write(true).create_new(true).open(&beside);
    let written = opened.and_then(|mut opened| opened.write_all(bytes)).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.html");
        for text in ["first", "second"] {
            write(&file, text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let message = write(folder.path(), "x").unwrap_err().to_string();
        assert!(message.contains("it is a folder"), "{message}");
    }

    /// A rename puts a file in place of the link, and of the device.
    #[test]
    #[cfg(unix)]
    fn links_and_devices_stay_what_they_are() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("deeper")).unwrap();
        fs::write(path("deeper/target"), "before").unwrap();
        symlink("deeper/target", path("link")).unwrap();
        symlink("deeper/new", path("dangling")).unwrap();
        symlink("/dev/null", path("device")).unwrap();
        for (link, target) in [("link", "deeper/target"), ("dangling", "deeper/new")] {
            write(&path(link), "text").unwrap();
            assert!(path(link).symlink_metadata().unwrap().is_symlink(), "{link}");
            assert_eq!(fs::read_to_string(path(target)).unwrap(), "text");
        }
        write(&path("device"), "text").unwrap();
        assert!(path("device").symlink_metadata().unwrap().is_symlink());
        write(Path::new("/dev/null"), "text").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }

    /// A failure of the disk is one of the command.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_named() {
        let message = format!("{:#}", write(Path::new("/dev/full"), "text").unwrap_err());
        assert!(message.contains("cannot write /dev/full: No space left"), "{message}");
    }
}
