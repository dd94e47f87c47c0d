//! A stored tensor as a part of a slot: from the order in which it lies in its file to that of the slot's rows. Rows are
//! moved as bytes, so that blocks stay as they are.

use std::cell::RefCell;
use std::ops::Range;

use understory_protocol::Result;

use super::names::Form;
use crate::files::ModelFiles;
use crate::stored::StoredType;

pub(super) struct Piece {
    pub file: String,
    /// bytes in the file
    pub offset: u64,
    pub len: u64,
    pub stored: StoredType,
    pub form: Form,
    pub features: usize,
    /// inputs of a feature; 1 in a vector
    pub width: usize,
    pub head_dim: usize,
}

/// All bytes of a stored tensor, held until its last feature was read, so that reading it in pieces reads the file once.
pub(super) struct WholeTensor {
    file: String,
    offset: u64,
    bytes: Vec<u8>,
}

impl Piece {
    /// Calls `take` with the stored bytes of `features`, each of its width, in their order, at once or in parts.
    pub fn read(
        &self,
        files: &dyn ModelFiles,
        held: &RefCell<Option<WholeTensor>>,
        features: Range<usize>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        match self.form {
            Form::Rows => take(&self.range(files, features)?),
            Form::Interleaved => self.read_interleaved(files, features, take)?,
            Form::PerHead => {
                self.with_whole(files, held, &features, &mut |bytes| self.by_head(bytes, &features, take))?
            }
            Form::Transposed => {
                self.with_whole(files, held, &features, &mut |bytes| take(&self.transpose(bytes, &features)))?;
            }
        }
        Ok(())
    }

    /// Bytes of a feature that lies together.
    fn feature_bytes(&self) -> usize {
        self.width / self.stored.block_len() * self.stored.block_bytes()
    }

    /// The bytes of features as they lie in the file.
    fn range<'a>(&self, files: &'a dyn ModelFiles, features: Range<usize>) -> Result<crate::files::FileBytes<'a>> {
        let feature_bytes = self.feature_bytes() as u64;
        files.range(
            &self.file,
            self.offset + features.start as u64 * feature_bytes,
            features.len() as u64 * feature_bytes,
        )
    }

    fn with_whole(
        &self,
        files: &dyn ModelFiles,
        held: &RefCell<Option<WholeTensor>>,
        features: &Range<usize>,
        gather: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let mut held = held.borrow_mut();
        // Another tensor is let go of first, so that there is never more than one.
        let whole = match held.take().filter(|whole| (&whole.file, whole.offset) == (&self.file, self.offset)) {
            Some(whole) => whole,
            None => {
                let bytes = files.range(&self.file, self.offset, self.len)?.into_owned();
                WholeTensor { file: self.file.clone(), offset: self.offset, bytes }
            }
        };
        gather(&whole.bytes);
        *held = Some(whole).filter(|_| features.end != self.features);
        Ok(())
    }

    /// A tensor whose heads lie together, their features `[head_dim / 2, 2]`: a head at a time.
    fn read_interleaved(
        &self,
        files: &dyn ModelFiles,
        features: Range<usize>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let (half, feature_bytes) = (self.head_dim / 2, self.feature_bytes());
        let mut next = features.start;
        while next < features.end {
            let head = next / self.head_dim * self.head_dim;
            let last = (head + self.head_dim).min(self.features);
            let bytes = self.range(files, head..last)?;
            for feature in next..features.end.min(last) {
                let within = feature - head;
                let stored = within % half * 2 + within / half;
                take(&bytes[stored * feature_bytes..(stored + 1) * feature_bytes]);
            }
            next = features.end.min(last);
        }
        Ok(())
    }

    /// Features of a tensor stored by head.
    fn by_head(&self, bytes: &[u8], features: &Range<usize>, take: &mut dyn FnMut(&[u8])) {
        let feature_bytes = self.feature_bytes();
        let mut next = features.start;
        while next < features.end {
            let (stored, run) = self.per_head(next);
            let run = run.min(features.end - next);
            take(&bytes[stored * feature_bytes..(stored + run) * feature_bytes]);
            next += run;
        }
    }

    /// Where feature `canonical` (all q heads, all k, all v) lies in `[n_heads, (q, k, v), head_dim]`, and how many
    /// features from there on are contiguous in both.
    fn per_head(&self, canonical: usize) -> (usize, usize) {
        let part_features = self.features / 3;
        let (part, within) = (canonical / part_features, canonical % part_features);
        let (head, dim) = (within / self.head_dim, within % self.head_dim);
        ((head * 3 + part) * self.head_dim + dim, self.head_dim - dim)
    }

    /// Features of a tensor stored as `[width, self.features]`, which no block can be.
    fn transpose(&self, bytes: &[u8], features: &Range<usize>) -> Vec<u8> {
        match self.stored.block_bytes() {
            2 => self.transpose_elements::<2>(bytes, features),
            _ => self.transpose_elements::<4>(bytes, features),
        }
    }

    /// A few inputs at a time, so that both the reads and the writes run along lines.
    fn transpose_elements<const BYTES: usize>(&self, bytes: &[u8], features: &Range<usize>) -> Vec<u8> {
        const INPUTS: usize = 16;
        let (elements, _) = bytes.as_chunks::<BYTES>();
        let mut out = vec![[0; BYTES]; features.len() * self.width];
        for first in (0..self.width).step_by(INPUTS) {
            let inputs = first..self.width.min(first + INPUTS);
            for (feature, row) in features.clone().zip(out.chunks_exact_mut(self.width)) {
                for input in inputs.clone() {
                    row[input] = elements[input * self.features + feature];
                }
            }
        }
        out.into_flattened()
    }
}
