//! A head that is the embedding. Checkpoints store the one tensor under either name, or under both; and some are tied by
//! their configuration alone. After `tie_weights` in `modeling_utils.py` of transformers 5.

use understory_protocol::Result;

use super::slots::Layout;
use super::{ModelFiles, Piece, Slot, Stored, convert};

/// Elements that are compared at once.
const ELEMENTS: usize = 1 << 18;

impl Stored<'_> {
    /// The head's name, where there is one.
    pub(super) fn head(&self) -> Option<&'static str> {
        self.names.lm_head.iter().copied().find(|name| self.stored.contains_key(*name))
    }

    /// The name of the embedding, or of the head where that alone is stored and both are one.
    pub(super) fn embedding(&self, prefix: &str) -> String {
        let name = format!("{prefix}{}", self.names.embedding);
        match self.head().filter(|_| self.config.tie_word_embeddings && !self.stored.contains_key(&name)) {
            Some(head) => head.into(),
            None => name,
        }
    }

    /// Whether a head that the configuration ties to the embedding is the same.
    ///
    /// # Errors
    /// Those of reading both, and of a head of a wrong shape or type.
    pub(super) fn are_tied(&self, files: &dyn ModelFiles, prefix: &str) -> Result<bool> {
        let name = self.embedding(prefix);
        let Some(head) = self.head().filter(|head| *head != name && self.stored.contains_key(&name)) else {
            return Ok(true);
        };
        let layout = Layout::Matrix(self.config.vocab_size, self.config.hidden_size);
        let place = |slot| Ok(self.place(prefix, slot, layout)?.pieces.remove(0));
        let same = same_values(files, &place(Slot::Embedding)?, &place(Slot::LmHead)?)?;
        if !same {
            tracing::warn!(
                "config.json ties `{head}` to `{name}`, but the weights hold both, with different values: they are not tied"
            );
        }
        Ok(same)
    }
}

fn same_values(files: &dyn ModelFiles, a: &Piece, b: &Piece) -> Result<bool> {
    let n = a.features * a.width;
    let read = |piece: &Piece, first: usize, values: &mut Vec<f32>| {
        // Rows are whole blocks, and so is what is read at once.
        let bytes = |elements: usize| piece.stored.bytes(elements as u64).unwrap_or(0);
        let bytes = files.range(&piece.file, piece.offset + bytes(first), bytes(ELEMENTS.min(n - first)))?;
        values.clear();
        convert::append(&bytes, piece.stored, values);
        Ok(())
    };
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for first in (0..n).step_by(ELEMENTS) {
        read(a, first, &mut of_a)?;
        read(b, first, &mut of_b)?;
        if of_a != of_b {
            return Ok(false);
        }
    }
    Ok(true)
}
