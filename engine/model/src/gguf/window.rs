//! A header read from its beginning to its end, a window of the file at a time. Where it ends is not known before it was
//! read, and it may hold lists that nobody wants.

use understory_protocol::{Error, Result};

use crate::files::{FileBytes, ModelFiles};

/// Bytes of a whole header: as many as a `tokenizer.json` may have. Published ones have up to 20 MB.
const MAX_HEADER_BYTES: u64 = 64 << 20;
/// Bytes of the first window; each is twice as long as the one before, up to the last.
const FIRST_WINDOW: u64 = 64 << 10;
const LAST_WINDOW: u64 = 4 << 20;

/// A place in a file, and what was read around it.
pub(super) struct Window<'a> {
    files: &'a dyn ModelFiles,
    file: &'a str,
    /// of the file
    len: u64,
    at: u64,
    /// what is held, and where it begins
    held: FileBytes<'a>,
    start: u64,
    next: u64,
}

impl<'a> Window<'a> {
    /// # Errors
    /// [`Error::NotAModel`] where there is no such file; those of [`ModelFiles::len`].
    pub fn open(files: &'a dyn ModelFiles, file: &'a str) -> Result<Self> {
        let missing = || Error::NotAModel { path: files.name().into(), missing: file.into() };
        let len = files.len(file)?.ok_or_else(missing)?;
        Ok(Self { files, file, len, at: 0, held: FileBytes::Borrowed(&[]), start: 0, next: FIRST_WINDOW })
    }

    pub fn at(&self) -> u64 {
        self.at
    }

    pub fn file_len(&self) -> u64 {
        self.len
    }

    pub fn bad(&self, reason: impl Into<String>) -> Error {
        Error::BadFile { file: self.file.into(), reason: reason.into() }
    }

    /// Passes over `n` bytes, which the file has.
    pub fn skip(&mut self, n: u64) -> Result<()> {
        let end = self.at.saturating_add(n);
        if end > self.len {
            return Err(Error::Truncated { file: self.file.into(), expected: end, actual: self.len });
        }
        if end > MAX_HEADER_BYTES {
            return Err(self.bad(format!("has a header of more than {} MiB", MAX_HEADER_BYTES >> 20)));
        }
        self.at = end;
        Ok(())
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: u64) -> Result<&[u8]> {
        let from = self.at;
        self.skip(n)?;
        let is_held = from >= self.start && self.at - self.start <= self.held.len() as u64;
        if !is_held {
            let len = n.max(self.next).min(self.len - from);
            self.held = FileBytes::Borrowed(&[]);
            self.held = self.files.range(self.file, from, len)?;
            self.start = from;
            self.next = (2 * self.next).min(LAST_WINDOW);
        }
        // Both ends are within what is held, whose length is a usize.
        let (from, to) = ((from - self.start) as usize, (self.at - self.start) as usize);
        let short = || Error::BadFile { file: self.file.into(), reason: "gave fewer bytes than asked for".into() };
        self.held.get(from..to).ok_or_else(short)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N as u64)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes of a string: a length of at most `max`, then so many bytes.
    pub fn string(&mut self, what: &str, max: u64) -> Result<&[u8]> {
        let len = self.string_len(what, max)?;
        self.bytes(len)
    }

    /// The length of a string, which follows.
    pub fn string_len(&mut self, what: &str, max: u64) -> Result<u64> {
        let len = self.u64()?;
        if len > max {
            return Err(self.bad(format!("{what} has {len} bytes; at most {max} are expected")));
        }
        Ok(len)
    }
}
