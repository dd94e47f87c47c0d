//! The normalizers of a tokenizer, one after the other, with bounds on what they make of a text and on its time.

use std::cell::Cell;
use std::ops::RangeFull;

use tokenizers::tokenizer::normalizer::Range;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use super::limits::grew_too_much;
use super::pattern::Timed;

/// Normalizers in the order in which they run.
pub(super) struct Normalizers(pub Vec<Step>);

pub(super) enum Step {
    Library(NormalizerWrapper),
    /// every match by this text
    Replace(Timed, String),
}

thread_local! {
    /// The library drops a normalizer's error, so it is kept here.
    static FAILURE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Why a normalizer failed in this thread since this was asked last; nothing is left of its text.
pub(super) fn failure() -> Option<String> {
    FAILURE.take()
}

impl Normalizers {
    fn run(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let given = text.len();
        for step in &self.0 {
            match step {
                Step::Library(normalizer) => normalizer.normalize(text)?,
                Step::Replace(pattern, by) => text.replace(pattern, by)?,
            }
            if grew_too_much(given, text.len()) {
                return Err("its normalizers make too much text of this".into());
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

impl Normalizer for Normalizers {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        self.run(text).inspect_err(|error| {
            FAILURE.set(Some(error.to_string()));
            *text = NormalizedString::from("");
        })
    }
}
