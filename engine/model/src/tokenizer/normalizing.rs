//! The normalizers of a tokenizer, one after the other, with a bound on what they make of a text.

use std::cell::Cell;
use std::ops::RangeFull;

use tokenizers::tokenizer::normalizer::Range;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use super::limits::grew_too_much;

/// Normalizers in the order in which they run.
pub(super) struct Normalizers(pub Vec<NormalizerWrapper>);

thread_local! {
    /// The library drops a normalizer's error, so it is kept here for [`took_too_much`].
    static TOO_MUCH: Cell<bool> = const { Cell::new(false) };
}

/// Whether a text grew beyond all measure in this thread since this was asked last; nothing is left of such a text.
pub(super) fn took_too_much() -> bool {
    TOO_MUCH.replace(false)
}

impl Normalizer for Normalizers {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let given = text.len();
        for step in &self.0 {
            step.normalize(text)?;
            if grew_too_much(given, text.len()) {
                TOO_MUCH.set(true);
                *text = NormalizedString::from("");
                return Ok(());
            }
            // A text put in place of nothing, at the very beginning, belongs to no part of the original. The next step
            // would leave it out and then run over the end of the text.
            let all = text.convert_offsets(Range::Original(RangeFull));
            if all != Some(0..text.len()) && !text.is_empty() {
                *text = NormalizedString::from(text.get());
            }
        }
        Ok(())
    }
}
