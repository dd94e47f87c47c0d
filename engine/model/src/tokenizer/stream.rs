//! Tokens to text as they come.

use understory_protocol::Result;

use super::Tokenizer;

/// Tokens to text, one at a time. What [`push`](Self::push) and [`finish`](Self::finish) return, put together, is
/// what [`Tokenizer::decode`] makes of all the tokens, and no piece ends within a character.
///
/// It decodes a short window of the last tokens rather than single ones, since a token's text depends on its
/// neighbours: characters are split over tokens, and decoders drop the space before the first word.
#[derive(Clone, Debug, Default)]
pub struct Detokenizer {
    window: Vec<u32>,
    /// bytes of the window's text that were returned
    returned: usize,
}

/// The window grows to this many tokens, then shrinks.
const WINDOW: usize = 32;
/// What it keeps: more tokens than a character has bytes, so that the text's end does not depend on what is dropped.
const KEPT: usize = 8;

impl Detokenizer {
    /// The text that this token completes; often empty within a character of several tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`](understory_protocol::Error::Tokenizer).
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String> {
        // What has no text must not stand first in a window: decoders treat the first word differently.
        if tokenizer.is_silent(id) {
            return Ok(String::new());
        }
        self.window.push(id);
        // A run of byte tokens decodes as a whole: an invalid byte spoils the characters before it, so none of them
        // is certain until another token ends the run.
        if tokenizer.is_byte(id) {
            return Ok(String::new());
        }
        let text = tokenizer.decode(&self.window)?;
        // At most one replacement character can still turn into something else: that of the sequence at the end.
        let certain = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text).len();
        let new = text.get(self.returned..certain).unwrap_or_default().to_owned();
        self.returned += new.len();
        if self.window.len() >= WINDOW {
            let pending = text.len().saturating_sub(self.returned);
            self.window.drain(..self.window.len() - KEPT);
            self.returned = tokenizer.decode(&self.window)?.len().saturating_sub(pending);
        }
        Ok(new)
    }

    /// The rest, with U+FFFD for what stayed incomplete; the stream begins anew.
    ///
    /// # Errors
    /// [`Error::Tokenizer`](understory_protocol::Error::Tokenizer).
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let text = tokenizer.decode(&self.window)?;
        let rest = text.get(self.returned..).unwrap_or_default().to_owned();
        *self = Self::default();
        Ok(rest)
    }
}
