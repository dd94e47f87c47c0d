//! From chosen tokens to what a front end is shown, and where a text ends: plain code that knows no device.
//!
//! Text is held back where it could still change: half a UTF-8 character, and an ending that a stop text may begin with
//! ([`TextStream`]).

use understory_model::text::TextStream;
use understory_model::tokenizer::Tokenizer;
use understory_protocol::{FinishReason, GenerateRequest, Result};

/// What ends a text, beside its stop texts.
pub struct Ends {
    /// the model's end tokens; none where they are to be ignored
    pub eos_token_ids: Vec<u32>,
    /// tokens of the answer at most
    pub max_new_tokens: usize,
    /// tokens of prompt and answer together at most
    pub context: usize,
}

impl Ends {
    /// Those of `request` to a model with these end tokens and this context.
    pub fn new(request: &GenerateRequest, eos_token_ids: &[u32], context: usize) -> Self {
        let eos_token_ids = if request.ignore_eos { Vec::new() } else { eos_token_ids.to_vec() };
        Self { eos_token_ids, max_new_tokens: request.max_new_tokens, context }
    }
}

/// The answer to one request as it grows.
pub struct OutputAssembler<'a> {
    tokenizer: &'a Tokenizer,
    ends: Ends,
    n_prompt: usize,
    stream: TextStream,
    token_ids: Vec<u32>,
    finish: Option<FinishReason>,
}

/// What some tokens added. `pieces` has an entry for each token that became part of the answer: those after an end are
/// left out.
#[derive(Debug, PartialEq, Eq)]
pub struct Added {
    /// what each token let be shown; often empty
    pub pieces: Vec<String>,
    /// all pieces
    pub text: String,
}

impl<'a> OutputAssembler<'a> {
    /// An answer to a prompt of `n_prompt` tokens that begins with the `known` tokens, whose text is not shown again.
    ///
    /// # Errors
    /// [`understory_protocol::Error::Tokenizer`].
    pub fn new(tokenizer: &'a Tokenizer, stops: &[String], ends: Ends, n_prompt: usize, known: &[u32]) -> Result<Self> {
        let mut stream = TextStream::new(tokenizer, stops);
        for &token in known {
            stream.push(tokenizer, token)?;
        }
        Ok(Self { tokenizer, ends, n_prompt, stream, token_ids: known.to_vec(), finish: None })
    }

    /// Takes the next tokens, up to the one that ends the answer. Nothing is to come after that one.
    ///
    /// # Errors
    /// [`understory_protocol::Error::Tokenizer`].
    pub fn push(&mut self, tokens: &[u32]) -> Result<Added> {
        let mut pieces = Vec::with_capacity(tokens.len());
        for &token in tokens {
            pieces.push(self.push_token(token)?);
            if self.finish.is_some() {
                break;
            }
        }
        if self.finish.is_some_and(|finish| finish != FinishReason::Stop) {
            let rest = self.stream.finish(self.tokenizer)?;
            if let Some(last) = pieces.last_mut() {
                last.push_str(&rest.text);
            }
            if rest.stopped {
                self.finish = Some(FinishReason::Stop);
            }
        }
        let text = pieces.concat();
        Ok(Added { pieces, text })
    }

    /// Takes one token; what it lets be shown.
    fn push_token(&mut self, token: u32) -> Result<String> {
        self.token_ids.push(token);
        if self.ends.eos_token_ids.contains(&token) {
            self.finish = Some(FinishReason::Eos);
            return Ok(String::new());
        }
        let piece = self.stream.push(self.tokenizer, token)?;
        if piece.stopped {
            self.finish = Some(FinishReason::Stop);
        } else if self.token_ids.len() == self.ends.max_new_tokens {
            self.finish = Some(FinishReason::Length);
        } else if self.n_prompt + self.token_ids.len() >= self.ends.context {
            self.finish = Some(FinishReason::Context);
        }
        Ok(piece.text)
    }

    /// Why the answer is at its end; `None`: it is not.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// All tokens of the answer and the text that was shown of them, the known ones included.
    pub fn into_answer(self) -> (Vec<u32>, String) {
        (self.token_ids, self.stream.text().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use understory_model::config::ModelConfig;
    use understory_model::files::FolderFiles;

    use super::*;

    fn tokenizer() -> Tokenizer {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales");
        let files = FolderFiles::open(&folder).expect("the bundled model");
        let config = ModelConfig::from_files(&files).expect("its configuration");
        Tokenizer::from_files(&files, &config).expect("its tokenizer")
    }

    fn ends(max_new_tokens: usize, context: usize) -> Ends {
        Ends { eos_token_ids: vec![0], max_new_tokens, context }
    }

    fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        let ids = tokenizer.encode(text, false).expect("encodes");
        assert!(ids.len() > 3 && !ids.contains(&0), "{text}: {ids:?}");
        ids
    }

    const TEXT: &str = "The fox and the crow sat in a tree.";

    /// However the tokens come, the text ends before the stop text and nothing of it was shown. Seen to fail here: text
    /// shown as soon as it is whole.
    #[test]
    fn a_stop_text_across_tokens_ends_the_text_before_it() {
        let tokenizer = tokenizer();
        let ids = encode(&tokenizer, TEXT);
        for size in 1..=ids.len() {
            let stops = ["@".to_owned(), "w sat i".to_owned()];
            let mut output = OutputAssembler::new(&tokenizer, &stops, ends(100, 1000), 5, &[]).expect("begins");
            let (mut shown, mut kept) = (String::new(), 0);
            for tokens in ids.chunks(size) {
                let added = output.push(tokens).expect("decodes");
                assert_eq!(added.pieces.concat(), added.text);
                shown += &added.text;
                kept += added.pieces.len();
                if output.finish_reason().is_some() {
                    break;
                }
            }
            assert_eq!((shown.as_str(), output.finish_reason()), ("The fox and the cro", Some(FinishReason::Stop)));
            let (token_ids, text) = output.into_answer();
            assert_eq!((&token_ids[..], text), (&ids[..kept], shown), "in pieces of {size}");
            assert!(kept < ids.len());
        }
    }

    #[test]
    fn an_end_token_has_no_text_and_drops_what_follows() {
        let tokenizer = tokenizer();
        let ids = encode(&tokenizer, TEXT);
        let with_end = [&ids[..], &[0], &ids[..]].concat();
        let mut output = OutputAssembler::new(&tokenizer, &[], ends(100, 1000), 5, &[]).expect("begins");
        let added = output.push(&with_end).expect("decodes");
        assert_eq!((added.text.as_str(), added.pieces.len()), (TEXT, ids.len() + 1));
        assert_eq!(output.finish_reason(), Some(FinishReason::Eos));
        // Where it is ignored, the text goes on.
        let ignored = Ends { eos_token_ids: Vec::new(), ..ends(100, 1000) };
        let mut output = OutputAssembler::new(&tokenizer, &[], ignored, 5, &[]).expect("begins");
        assert_eq!(output.push(&with_end).expect("decodes").pieces.len(), with_end.len());
        assert_eq!(output.finish_reason(), None);
    }

    #[test]
    fn length_and_context_end_a_text_and_known_tokens_count() {
        let tokenizer = tokenizer();
        let ids = encode(&tokenizer, TEXT);
        for known in 0..3 {
            let (begin, rest) = ids.split_at(known);
            for (ends, reason) in [(ends(4, 1000), FinishReason::Length), (ends(100, 5 + 4), FinishReason::Context)] {
                let mut output = OutputAssembler::new(&tokenizer, &[], ends, 5, begin).expect("begins");
                let added = output.push(rest).expect("decodes");
                assert_eq!((added.pieces.len(), output.finish_reason()), (4 - known, Some(reason)));
                let (token_ids, text) = output.into_answer();
                let whole = tokenizer.decode(&ids[..4]).expect("decodes");
                assert_eq!((&token_ids[..], &text), (&ids[..4], &whole));
                assert!(whole.ends_with(&added.text) && (known == 0) == (whole == added.text), "{known} known");
            }
        }
        // Both at once: the limit that was asked for is the reason.
        let mut output = OutputAssembler::new(&tokenizer, &[], ends(4, 9), 5, &[]).expect("begins");
        output.push(&ids).expect("decodes");
        assert_eq!(output.finish_reason(), Some(FinishReason::Length));
    }

    /// What was held back at the end comes with the last piece: a beginning of a stop text, and half a character. Seen to
    /// fail here: the end without [`TextStream::finish`].
    #[test]
    fn what_is_held_back_comes_with_the_end() {
        let tokenizer = tokenizer();
        let ids = encode(&tokenizer, TEXT);
        let stops = ["tree.@".to_owned()];
        let mut output = OutputAssembler::new(&tokenizer, &stops, ends(ids.len(), 1000), 5, &[]).expect("begins");
        let (last, before) = ids.split_last().expect("tokens");
        let shown = output.push(before).expect("decodes").text;
        assert!(!shown.contains("tree"), "{shown}");
        assert_eq!(shown + &output.push(&[*last]).expect("decodes").text, TEXT);
        assert_eq!(output.finish_reason(), Some(FinishReason::Length));

        // A character of several tokens is shown when it is whole, or at the end as a replacement character.
        let ids = tokenizer.encode("\u{1f98a}", false).expect("encodes");
        assert!(ids.len() > 1, "the vocabulary spells it in bytes: {ids:?}");
        let mut output = OutputAssembler::new(&tokenizer, &[], ends(100, 1000), 5, &[]).expect("begins");
        let added = output.push(&ids).expect("decodes");
        let whole = added.pieces.iter().position(|piece| !piece.is_empty()).expect("it is shown");
        assert_eq!((added.text.as_str(), whole), ("\u{1f98a}", ids.len() - 1));
        let mut output = OutputAssembler::new(&tokenizer, &[], ends(ids.len() - 1, 1000), 5, &[]).expect("begins");
        assert!(output.push(&ids).expect("decodes").text.ends_with(char::REPLACEMENT_CHARACTER));
    }
}
