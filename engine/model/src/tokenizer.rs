//! Text to token ids and back, through `tokenizer.json`, whole or token by token.
//!
//! Special tokens never appear in decoded text. The engine proper knows ids only.

use tokenizers::DecoderWrapper;
use understory_protocol::{Error, Result};

use crate::config::{Family, ModelConfig};
use crate::files::ModelFiles;

const FILE: &str = "tokenizer.json";
/// What stands before a word in vocabularies of the SentencePiece kind; decoders drop it from the first word.
const WORD_START: char = '\u{2581}';

/// A model's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// rows of the model's embedding
    vocab_size: usize,
    /// Tokens such as `<0xE2>` stand for bytes.
    byte_fallback: bool,
    /// The vocabulary spells bytes in GPT-2's alphabet, where `Ġ` is a space.
    byte_level: bool,
}

impl Tokenizer {
    /// # Errors
    /// [`Error::NotAModel`] without `tokenizer.json`, [`Error::Tokenizer`] where it cannot be understood,
    /// [`Error::VocabularyMismatch`] where it knows a token that the model has no embedding for. (The reverse is
    /// usual: many models pad their vocabulary.)
    pub fn from_files(files: &dyn ModelFiles, config: &ModelConfig) -> Result<Self> {
        let missing = || Error::NotAModel { path: files.name().into(), missing: FILE.into() };
        let bytes = files.read(FILE)?.ok_or_else(missing)?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes[..]).map_err(failed)?;
        // Some repositories save the limits of their training run; a prompt is never cut or padded here.
        inner.with_padding(None).with_truncation(None).map_err(failed)?;
        let beyond = inner.get_vocab(false).into_values().max().map_or(0, |id| id as usize + 1);
        let added =
            inner.get_added_vocabulary().get_added_tokens_decoder().keys().max().map_or(0, |&id| id as usize + 1);
        // Text-only Gemma 3 has the image placeholder of its siblings, one past its embedding; `encode` refuses it.
        let known = if config.family == Family::Gemma3 { beyond } else { beyond.max(added) };
        if known > config.vocab_size {
            return Err(Error::VocabularyMismatch { tokenizer: known, config: config.vocab_size });
        }
        let decodes = |is: fn(&DecoderWrapper) -> bool| inner.get_decoder().is_some_and(|decoder| any(decoder, is));
        let byte_fallback = decodes(|decoder| matches!(decoder, DecoderWrapper::ByteFallback(_)));
        let byte_level = decodes(|decoder| matches!(decoder, DecoderWrapper::ByteLevel(_)));
        Ok(Self { inner, vocab_size: config.vocab_size, byte_fallback, byte_level })
    }

    /// `add_special_tokens` asks for what the tokenizer puts around a text, such as a begin token.
    ///
    /// # Errors
    /// [`Error::BadToken`] for a token beyond the model's vocabulary; [`Error::Tokenizer`].
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let ids = self.inner.encode_fast(text, add_special_tokens).map_err(failed)?.get_ids().to_vec();
        match ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            Some(&token) => Err(Error::BadToken { token, vocab_size: self.vocab_size }),
            None => Ok(ids),
        }
    }

    /// The text of the tokens; bytes that are not UTF-8 become U+FFFD, unknown ids nothing.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(failed)
    }

    /// One token for people to read: its own text, with `<0xE2>` for each byte that is only part of a character; or as the
    /// vocabulary spells it where it has no text (special tokens); empty for an id that stands for no token.
    pub fn shown(&self, id: u32) -> String {
        let spelled = self.token_text(id).unwrap_or_default();
        if spelled.starts_with(WORD_START) {
            return spelled.replace(WORD_START, " ");
        }
        match self.decode(&[id]) {
            Ok(text) if !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER) => text,
            Ok(text) if !text.is_empty() && self.byte_level => with_bytes(&spelled).unwrap_or(spelled),
            _ => spelled,
        }
    }

    /// A token as the vocabulary spells it.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Tokens known, added ones included; at most the model's `vocab_size`, often less.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// A fresh stream of tokens to text.
    pub fn stream(&self) -> Detokenizer {
        Detokenizer::default()
    }

    /// Special tokens, and the padding of the vocabulary.
    fn is_silent(&self, id: u32) -> bool {
        match self.inner.get_added_vocabulary().get_added_tokens_decoder().get(&id) {
            Some(added) => added.special,
            None => self.inner.id_to_token(id).is_none(),
        }
    }

    fn is_byte(&self, id: u32) -> bool {
        let is_byte = |text: String| text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
        self.byte_fallback && self.inner.id_to_token(id).is_some_and(is_byte)
    }
}

fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenizer { reason: error.to_string() }
}

/// Whether `decoder`, or one that it consists of, is such.
fn any(decoder: &DecoderWrapper, is: fn(&DecoderWrapper) -> bool) -> bool {
    match decoder {
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(|decoder| any(decoder, is)),
        _ => is(decoder),
    }
}

/// A token spelled in GPT-2's alphabet as [`shown_bytes`]. `None`: spelled otherwise.
fn with_bytes(spelled: &str) -> Option<String> {
    let bytes: Vec<u8> = spelled.chars().map(byte_of).collect::<Option<_>>()?;
    Some(shown_bytes(&bytes))
}

/// UTF-8 for people to read, with `<0xE2>` for each byte that is no part of a whole character.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("<0x{byte:02X}>")));
    }
    text
}

/// The byte that GPT-2's alphabet (`bytes_to_unicode` in its encoder.py) writes as `c`: bytes that are visible characters
/// in Latin-1 as these, the others in their order from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(c).checked_sub(0x100) {
        None => u8::try_from(c).ok().filter(visible),
        Some(nth) => (0..=u8::MAX).filter(|byte| !visible(byte)).nth(nth as usize),
    }
}

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
    /// [`Error::Tokenizer`].
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
            let pending = text.len() - self.returned;
            self.window.drain(..self.window.len() - KEPT);
            self.returned = tokenizer.decode(&self.window)?.len().saturating_sub(pending);
        }
        Ok(new)
    }

    /// The rest, with U+FFFD for what stayed incomplete; the stream begins anew.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let text = tokenizer.decode(&self.window)?;
        let rest = text.get(self.returned..).unwrap_or_default().to_owned();
        *self = Self::default();
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    /// "é" is C3 A9, "😂" F0 9F 98 82; 9F and 98 have no character of their own in the alphabet, A9 and F0 have.
    #[test]
    fn parts_of_characters_are_shown_as_bytes() {
        let shown = ["Ġfox", "ĠÃ", "Ã©", "ðŁĺ", "Ċ©"].map(|token| super::with_bytes(token).unwrap());
        assert_eq!(shown, [" fox", " <0xC3>", "é", "<0xF0><0x9F><0x98>", "\n<0xA9>"]);
        assert_eq!(super::with_bytes("a b"), None);
    }
}
