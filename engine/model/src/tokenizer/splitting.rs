//! The pre-tokenizers of a tokenizer, one after the other: they cut a text into what the model sees one by one.

use tokenizers::tokenizer::pattern::Invert;
use tokenizers::{PreTokenizedString, PreTokenizer, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::pattern::Timed;

/// Pre-tokenizers in the order in which they run.
pub(super) struct PreTokenizers(pub Vec<Step>);

pub(super) enum Step {
    Library(PreTokenizerWrapper),
    Split {
        pattern: Timed,
        /// what becomes of a match
        behavior: SplitDelimiterBehavior,
        /// a match is what stays, not what separates
        invert: bool,
    },
}

impl PreTokenizer for PreTokenizers {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        self.0.iter().try_for_each(|step| match step {
            Step::Library(pre_tokenizer) => pre_tokenizer.pre_tokenize(text),
            Step::Split { pattern, behavior, invert: false } => text.split(|_, piece| piece.split(pattern, *behavior)),
            Step::Split { pattern, behavior, invert: true } => {
                text.split(|_, piece| piece.split(Invert(pattern), *behavior))
            }
        })
    }
}
