//! A file on its way: `NAME.incomplete`, which an interrupted download leaves to be gone on with, and which gets its
//! name once all of it is there and its hash is right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use understory_model::repository::Hash;

/// Bytes read at once to hash what is there.
const PIECE: usize = 1 << 20;

/// The file, open for writing at its end.
pub struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    /// of what is there
    sha256: Sha256,
    /// Whether an earlier program left the beginning.
    pub is_resumed: bool,
}

impl Part {
    /// Opens or makes it. What is there is kept if it is at most `most` bytes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: PathBuf, most: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let len = file.metadata()?.len();
        let mut sha256 = Sha256::new();
        if len <= most {
            each_piece(&mut file, len, |piece| sha256.update(piece))?;
        }
        let mut part = Self { path, file, len, sha256, is_resumed: len > 0 };
        if len > most {
            part.restart()?;
        }
        Ok(part)
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.sha256.update(piece);
        self.len += piece.len() as u64;
        Ok(())
    }

    /// Forgets what is there.
    pub fn restart(&mut self) -> io::Result<()> {
        if self.len > 0 {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
        }
        (self.len, self.sha256, self.is_resumed) = (0, Sha256::new(), false);
        Ok(())
    }

    /// Compares the whole with its hash. The inner error says how it differs.
    pub fn check(&mut self, hash: Hash<'_>) -> io::Result<Result<(), String>> {
        let actual = match hash {
            Hash::Sha256(_) => hex(&self.sha256.clone().finalize()),
            Hash::Git(digits) => {
                let head = format!("blob {}\0", self.len);
                if digits.len() == 40 {
                    // The version of the trait that the WebSocket's SHA-1 has.
                    use sha1::Digest as _;
                    let mut sha1 = Sha1::new_with_prefix(head);
                    each_piece(&mut self.file, self.len, |piece| sha1.update(piece))?;
                    hex(&sha1.finalize())
                } else {
                    let mut sha256 = Sha256::new_with_prefix(head);
                    each_piece(&mut self.file, self.len, |piece| sha256.update(piece))?;
                    hex(&sha256.finalize())
                }
            }
        };
        Ok(if actual == hash.digits() { Ok(()) } else { Err(format!("hash {actual} instead of {}", hash.digits())) })
    }

    /// Gives it its name, in place of what has it.
    pub fn finish(self, name: &Path) -> io::Result<()> {
        // A name must not reach the disk before the contents do.
        self.file.sync_all()?;
        drop(self.file);
        fs::rename(self.path, name)
    }

    /// Deletes it.
    pub fn remove(self) -> io::Result<()> {
        drop(self.file);
        fs::remove_file(self.path)
    }
}

/// The first `len` bytes in pieces; the file is then at their end.
fn each_piece(file: &mut File, len: u64, mut on_piece: impl FnMut(&[u8])) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut piece = vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))];
    let mut left = len;
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
        match file.read(&mut piece[..most])? {
            0 => return Err(io::Error::other("it was shortened meanwhile")),
            n => {
                on_piece(&piece[..n]);
                left -= n as u64;
            }
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes of `git hash-object` and of FIPS 180-2. Hashing only what this program wrote fails this.
    #[test]
    fn hashes_are_of_the_whole_file_however_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.incomplete");
        fs::write(&path, "a").unwrap();
        let mut part = Part::open(path.clone(), 3).unwrap();
        assert!(part.is_resumed);
        part.append(b"bc").unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let git = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";
        assert_eq!(part.check(Hash::Sha256(sha256)).unwrap(), Ok(()));
        assert_eq!(part.check(Hash::Git(git)).unwrap(), Ok(()));
        assert!(part.check(Hash::Git(sha256)).unwrap().is_err(), "git's hash is not of the contents alone");
        part.append(b"d").unwrap();
        assert!(part.check(Hash::Sha256(sha256)).unwrap().unwrap_err().contains(sha256));
        part.restart().unwrap();
        part.append(b"abc").unwrap();
        assert_eq!(part.check(Hash::Git(git)).unwrap(), Ok(()));
        let name = folder.path().join("x");
        part.finish(&name).unwrap();
        assert_eq!((fs::read(name).unwrap(), path.exists()), (b"abc".to_vec(), false));
    }

    /// Going on after what is longer than the file fails this.
    #[test]
    fn a_part_that_is_longer_than_the_file_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.incomplete");
        fs::write(&path, "abcd").unwrap();
        let part = Part::open(path, 3).unwrap();
        assert_eq!((part.len(), part.is_resumed), (0, false));
    }
}
