//! Text to token ids and back, through `tokenizer.json`, whole or token by token.
//!
//! Special tokens never appear in decoded text. The engine proper knows ids only. The files come from strangers: they are
//! read and checked here (`file`, `vocabulary`, `parts`) before the tokenizers library gets the parts, and what may
//! still panic in it is an error.

mod charsmap;
mod decoding;
pub(crate) mod file;
pub(crate) mod gguf;
mod limits;
mod normalizing;
mod parts;
mod pattern;
mod spelling;
mod splitting;
mod stream;
mod vocabulary;

use std::collections::HashSet;

use tokenizers::{DecoderWrapper, ModelWrapper, PostProcessorWrapper, TokenizerImpl};
use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

pub use self::spelling::shown_bytes;
pub use self::stream::Detokenizer;

use self::decoding::Decoders;
use self::file::{Added, File};
use self::normalizing::Normalizers;
use self::splitting::PreTokenizers;
use crate::caught::caught;
use crate::config::ModelConfig;
use crate::files::{ModelFiles, read_small};
use crate::gguf::Gguf;
use crate::special_tokens;

const FILE: &str = "tokenizer.json";
/// What stands before a word in vocabularies of the SentencePiece kind; decoders drop it from the first word.
const WORD_START: char = '\u{2581}';

type Inner = TokenizerImpl<ModelWrapper, Normalizers, PreTokenizers, PostProcessorWrapper, DecoderWrapper>;

/// A model's tokenizer.
pub struct Tokenizer {
    inner: Inner,
    decoders: Decoders,
    /// rows of the model's embedding
    vocab_size: usize,
    /// Tokens such as `<0xE2>` stand for bytes.
    byte_fallback: bool,
    /// The vocabulary spells bytes in GPT-2's alphabet, where `Ġ` is a space.
    byte_level: bool,
}

impl Tokenizer {
    /// From `tokenizer.json`, and the tokens that the files beside it declare (`special_tokens`); or from a GGUF file. It may know more tokens
    /// than the model has rows, and the reverse is usual: many models pad their vocabulary.
    ///
    /// # Errors
    /// [`Error::NotAModel`] without `tokenizer.json`, [`Error::Tokenizer`] where it cannot be understood or is no
    /// tokenizer's, [`Error::BadFile`] where it or a file beside it is too large or not JSON.
    pub fn from_files(files: &dyn ModelFiles, config: &ModelConfig) -> Result<Self> {
        let file = match Gguf::open(files)? {
            Some(file) => gguf::read(&file)?,
            None => Self::read(files)?,
        };
        within(|| Self::build(file, config.vocab_size)).map_err(failed)
    }

    /// `tokenizer.json` and the tokens declared beside it.
    fn read(files: &dyn ModelFiles) -> Result<File> {
        let missing = || Error::NotAModel { path: files.name().into(), missing: FILE.into() };
        let bytes = read_small(files, FILE)?.ok_or_else(missing)?;
        let mut file: File = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        drop(bytes);
        let declared = special_tokens::declared(files, &file.added_tokens)?;
        file.added_tokens.extend(declared);
        Ok(file)
    }

    fn build(file: File, vocab_size: usize) -> Result<Self, String> {
        if let Some(version) = file.version.filter(|version| version != "1.0") {
            return Err(format!("version `{}` is not known; expected 1.0", shown(&version)));
        }
        let told = |section: &'static str| move |reason: String| format!("{section}: {reason}");
        let model = vocabulary::build(file.model).map_err(told("model"))?;
        let normalizers = parts::normalizers(&file.normalizer).map_err(told("normalizer"))?;
        let decoders = parts::decoders(&file.decoder).map_err(told("decoder"))?;
        let mut inner = Inner::new(model);
        inner.with_normalizer(Some(normalizers)).map_err(|error| error.to_string())?;
        inner.with_pre_tokenizer(Some(parts::pre_tokenizers(&file.pre_tokenizer).map_err(told("pre_tokenizer"))?));
        inner.with_post_processor(parts::post_processor(&file.post_processor).map_err(told("post_processor"))?);
        add_tokens(&mut inner, file.added_tokens, vocab_size).map_err(told("added_tokens"))?;
        let byte_fallback = decoders.any(|decoder| matches!(decoder, DecoderWrapper::ByteFallback(_)));
        let byte_level = decoders.any(|decoder| matches!(decoder, DecoderWrapper::ByteLevel(_)));
        Ok(Self { inner, decoders, vocab_size, byte_fallback, byte_level })
    }

    /// `add_special_tokens` asks for what the tokenizer puts around a text, such as a begin token.
    ///
    /// # Errors
    /// [`Error::BadToken`] for a token that the model has no row for; [`Error::Tokenizer`].
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoded = within(|| {
            pattern::begin(text.len());
            let encoding = self.inner.encode_fast(text, add_special_tokens);
            if let Some(reason) = normalizing::failure() {
                return Err(reason);
            }
            encoding.map(|encoding| encoding.get_ids().to_vec()).map_err(|error| error.to_string())
        });
        let ids = encoded.map_err(failed)?;
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
        let added = self.inner.get_added_vocabulary();
        let spelled = |&id: &u32| self.inner.id_to_token(id).filter(|token| !added.is_special_token(token));
        within(|| self.decoders.decode(ids.iter().filter_map(spelled).collect())).map_err(failed)
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
            Ok(text) if !text.is_empty() && self.byte_level => spelling::with_bytes(&spelled).unwrap_or(spelled),
            _ => spelled,
        }
    }

    /// A token as the vocabulary spells it.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// How the tokenizer's model works: `BPE`, `Unigram`, `WordPiece` or `WordLevel`.
    pub fn kind(&self) -> &'static str {
        match self.inner.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::Unigram(_) => "Unigram",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
        }
    }

    /// Tokens known, added ones included. A model often has more rows, and sometimes fewer.
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

/// Runs what calls the library.
fn within<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // An earlier call that panicked may have left one.
    drop(normalizing::failure());
    caught(work).unwrap_or_else(|panic| Err(format!("the tokenizers library panicked: {}", shown(&panic))))
}

fn failed(reason: String) -> Error {
    Error::Tokenizer { reason }
}

/// Adds tokens in their order; the library gives each that is new the next id. A name alone, as `eos_token` is one, states
/// no id: where the model has no row left for it, its text stays text. To transformers it would be a token that the model
/// cannot take.
fn add_tokens(inner: &mut Inner, mut tokens: Vec<Added>, vocab_size: usize) -> Result<(), String> {
    limits::at_most(
        "the length of all",
        tokens.iter().map(|token| token.content.len()).sum(),
        limits::MAX_ADDED_BYTES,
    )?;
    let (mut known, mut next) = (HashSet::new(), inner.get_vocab_size(false));
    tokens.retain(|token| {
        let is_new = inner.token_to_id(&token.content).is_none() && !known.contains(&token.content);
        let stays = !is_new || token.id.is_some() || next < vocab_size;
        if is_new && stays {
            known.insert(token.content.clone());
            next += 1;
        }
        if !stays {
            tracing::warn!(
                "the model has no row for the special token `{}`: it is read as text",
                shown(&token.content)
            );
        }
        stays
    });
    let stated: Vec<(u32, String)> =
        tokens.iter().filter_map(|token| Some((token.id?, token.content.clone()))).collect();
    pattern::begin(0);
    let added = inner.add_tokens(tokens.into_iter().map(Added::token));
    if let Some(reason) = normalizing::failure() {
        return Err(reason);
    }
    added.map_err(|error| error.to_string())?;
    let other = |(id, content): &&(u32, String)| !content.is_empty() && inner.token_to_id(content) != Some(*id);
    if let Some((id, content)) = stated.iter().find(other) {
        tracing::warn!("the tokenizer's files give `{}` the id {id}, its vocabulary another", shown(content));
    }
    // Such a token may lie within the space that another takes along, where it would end before it begins.
    for (&id, token) in inner.get_added_vocabulary().get_added_tokens_decoder() {
        let matched = inner.id_to_token(id).unwrap_or_default();
        if token.lstrip && matched.trim().is_empty() {
            return Err(format!("token {id} is nothing but space, and takes the space before it along"));
        }
    }
    Ok(())
}
