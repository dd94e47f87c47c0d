//! One program at a time writes a file of the cache: `.locks/models--owner--name/NAME.lock`, locked as `huggingface_hub`
//! locks it. The system frees the lock of a program that ends in any way.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// Freed when it is dropped.
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// What came of asking for a lock.
pub enum Taken {
    Held(Lock),
    /// Another program has it.
    Busy,
    /// The file system has no locks.
    Unsupported,
}

/// Asks for the lock at `path` without waiting.
///
/// # Errors
/// Those of making the file.
pub fn take(path: &Path) -> io::Result<Taken> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    Ok(match file.try_lock() {
        Ok(()) => Taken::Held(Lock(file)),
        Err(TryLockError::WouldBlock) => Taken::Busy,
        Err(TryLockError::Error(_)) => Taken::Unsupported,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models--o--n").join("hash.lock");
        let held = take(&path).unwrap();
        assert!(matches!(held, Taken::Held(_)));
        assert!(matches!(take(&path).unwrap(), Taken::Busy));
        drop(held);
        assert!(matches!(take(&path).unwrap(), Taken::Held(_)));
    }
}
