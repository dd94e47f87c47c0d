//! From chosen tokens to text that may be shown: whole characters only, and nothing that might still turn out
//! to be the beginning of a stop string.

use understory_protocol::Result;

use crate::tokenizer::{Detokenizer, Tokenizer};

/// The text of one generation as it grows.
pub struct TextStream {
    detokenizer: Detokenizer,
    stops: Vec<String>,
    text: String,
    /// bytes of `text` handed out
    shown: usize,
}

/// What a token added.
pub struct Piece {
    /// text to show now; may be empty
    pub text: String,
    /// a stop string is complete: the text ends before it
    pub stopped: bool,
}

impl TextStream {
    pub fn new(tokenizer: &Tokenizer, stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        Self { detokenizer: tokenizer.stream(), stops, text: String::new(), shown: 0 }
    }

    /// Takes the next token.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Result<Piece> {
        let added = self.detokenizer.push(tokenizer, token)?;
        self.take(&added)
    }

    /// The end: whatever was held back.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<Piece> {
        let added = self.detokenizer.finish(tokenizer)?;
        let mut piece = self.take(&added)?;
        if !piece.stopped {
            piece.text.push_str(&self.text[self.shown..]);
            self.shown = self.text.len();
        }
        Ok(piece)
    }

    /// Everything shown so far.
    pub fn text(&self) -> &str {
        &self.text[..self.shown]
    }

    fn take(&mut self, added: &str) -> Result<Piece> {
        self.text.push_str(added);
        let rest = &self.text[self.shown..];
        let stop = self.stops.iter().filter_map(|s| rest.find(s.as_str())).min();
        let end = self.shown + stop.unwrap_or_else(|| rest.len() - self.held(rest));
        let piece = Piece { text: self.text[self.shown..end].to_string(), stopped: stop.is_some() };
        self.shown = end;
        Ok(piece)
    }

    /// Bytes at the end of `rest` that a stop string may begin with.
    fn held(&self, rest: &str) -> usize {
        let begins = |stop: &String| {
            let longest = rest.len().min(stop.len() - 1);
            (1..=longest).rev().find(|&n| stop.as_bytes().starts_with(&rest.as_bytes()[rest.len() - n..])).unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}
