//! The tokenizer in a GGUF file's metadata (`tokenizer.ggml.*`) as the parts of a `tokenizer.json`, which are checked and put
//! together as every other's. After `llama-vocab.cpp` of llama.cpp, whose defaults hold where a key is absent.

mod chat;
mod pre_tokenizers;
mod score_merges;

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use tokenizers::models::bpe::Vocab as Ids;
use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

pub(crate) use self::chat::tokenizer_config;

use self::pre_tokenizers::{PreTokenizer, WITHOUT_NAME};
use super::file::{Added, File, Merges, Model, Vocabulary};
use super::limits::{MAX_ID, at_most};
use crate::gguf::Gguf;

const MODEL: &str = "tokenizer.ggml.model";
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const BEGIN: &str = "tokenizer.ggml.bos_token_id";
pub(super) const END: &str = "tokenizer.ggml.eos_token_id";
pub(super) const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
const END_OF_TURN: &str = "tokenizer.ggml.eot_token_id";
const END_OF_MESSAGE: &str = "tokenizer.ggml.eom_token_id";

/// Tokens that end a generation by their text, whether a file says so or not: the list of llama.cpp, for the families that
/// are read here.
const ENDINGS: [&str; 10] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<EOT>",
    "_<EOT>",
];

/// What a token is for (`llama_token_type`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// A vocabulary, its ids as indices.
struct Tokens {
    texts: Vec<String>,
    kinds: Vec<Kind>,
}

/// The tokens that end a generation.
///
/// # Errors
/// Those of reading, and [`Error::BadConfig`] for an id that is none.
pub(crate) fn ends(gguf: &Gguf) -> Result<Vec<u32>> {
    let mut ends = Vec::new();
    for key in [END, END_OF_TURN, END_OF_MESSAGE] {
        ends.extend(gguf.token(key)?);
    }
    let mut id = 0;
    gguf.each_text(TOKENS, |text| {
        if ENDINGS.contains(&text) {
            ends.push(id);
        }
        id += 1;
        Ok(())
    })?;
    let mut seen = std::collections::HashSet::new();
    ends.retain(|end| seen.insert(*end));
    Ok(ends)
}

/// # Errors
/// [`Error::Tokenizer`] for a kind of tokenizer or of pre-tokenizer that is not known, or lists that do not fit together;
/// those of reading.
pub(super) fn read(gguf: &Gguf) -> Result<File> {
    let tokens = Tokens::read(gguf)?;
    match gguf.text(MODEL)? {
        Some("gpt2") => bpe(gguf, tokens),
        Some("llama") => sentence_piece(gguf, tokens),
        Some(other) => {
            Err(wrong(format!("the file's tokenizer is of the kind `{}`; known: gpt2, llama", shown(other))))
        }
        None => Err(wrong(format!("the file has no {MODEL}"))),
    }
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::Tokenizer { reason: reason.into() }
}

impl Tokens {
    fn read(gguf: &Gguf) -> Result<Self> {
        let texts = gguf.texts(TOKENS)?.ok_or_else(|| wrong(format!("the file has no {TOKENS}")))?;
        at_most("the number of tokens", texts.len(), MAX_ID as usize).map_err(wrong)?;
        let kinds = gguf.scalars(TYPES, texts.len(), |kind| Kind::of(kind.count()))?;
        let kinds = kinds.unwrap_or_else(|| vec![Kind::Normal; texts.len()]);
        if kinds.len() != texts.len() {
            return Err(wrong(format!("{TYPES} lists {} tokens, {TOKENS} {}", kinds.len(), texts.len())));
        }
        Ok(Self { texts, kinds })
    }

    fn text(&self, id: u32) -> Result<&str> {
        let text = self.texts.get(id as usize).map(String::as_str);
        text.ok_or_else(|| wrong(format!("token {id} is named, but there are {} tokens", self.texts.len())))
    }

    /// Tokens that are found in a text as a whole, before anything else is done to it.
    fn added(&self) -> Vec<Added> {
        let added = self.texts.iter().zip(&self.kinds).enumerate().filter_map(|(id, (text, kind))| {
            let special = match kind {
                Kind::Control | Kind::Unknown => true,
                Kind::UserDefined => false,
                Kind::Normal | Kind::Unused | Kind::Byte => return None,
            };
            let token = Added { id: u32::try_from(id).ok(), normalized: Some(false), special, ..Added::special(text) };
            Some(token).filter(|token| !token.content.is_empty())
        });
        added.collect()
    }

    /// Every token but the rows that only fill up the embedding.
    fn ids(&self) -> Ids {
        let tokens = self.texts.iter().zip(&self.kinds).zip(0..);
        let fills = |text: &str, kind: Kind, id: u32| {
            kind == Kind::Unused && text.strip_prefix("[PAD") == Some(&format!("{id}]"))
        };
        let kept = tokens.filter(|((text, kind), id)| !fills(text, **kind, *id));
        kept.map(|((text, _), id)| (text.clone(), id)).collect()
    }
}

impl Kind {
    fn of(number: Option<u64>) -> Self {
        match number {
            Some(2) => Self::Unknown,
            Some(3) => Self::Control,
            Some(4) => Self::UserDefined,
            Some(5) => Self::Unused,
            Some(6) => Self::Byte,
            _ => Self::Normal,
        }
    }
}

/// GPT-2's kind: bytes in an alphabet of their own, merged by rank.
fn bpe(gguf: &Gguf, tokens: Tokens) -> Result<File> {
    let name = gguf.text("tokenizer.ggml.pre")?.unwrap_or_else(|| {
        tracing::warn!("the file does not say how its tokenizer splits a text: as `{WITHOUT_NAME}`");
        WITHOUT_NAME
    });
    let pre = PreTokenizer::named(name).map_err(wrong)?;
    let mut merges = Vec::new();
    let found = gguf.each_text(MERGES, |line| {
        // A piece may be a space.
        let at = line.as_bytes().iter().skip(1).position(|&byte| byte == b' ').map(|at| at + 1);
        let (first, second) = at
            .and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
            .ok_or_else(|| wrong(format!("a merge is not two pieces with a space between them: `{}`", shown(line))))?;
        merges.push((first.to_owned(), second.to_owned()));
        Ok(())
    })?;
    if !found {
        return Err(wrong(format!("the file has no {MERGES}")));
    }
    let around = Around::read(gguf, &tokens, pre.begins())?;
    Ok(File {
        version: None,
        added_tokens: tokens.added(),
        normalizer: if pre.is_composed() { json!({ "type": "NFC" }) } else { Json::Null },
        pre_tokenizer: pre.section(),
        post_processor: around.section(),
        decoder: json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true }),
        model: Model { ignore_merges: Some(pre.takes_whole_words()), ..merging(tokens.ids(), merges) },
    })
}

/// SentencePiece's kind: characters, merged by the score of what they become; what has no token is spelled in bytes.
fn sentence_piece(gguf: &Gguf, tokens: Tokens) -> Result<File> {
    let scores = gguf.scalars(SCORES, tokens.texts.len(), |score| score.number().unwrap_or(f64::NAN) as f32)?;
    let scores = scores.ok_or_else(|| wrong(format!("the file has no {SCORES}")))?;
    if scores.len() != tokens.texts.len() {
        return Err(wrong(format!("{SCORES} lists {} tokens, {TOKENS} {}", scores.len(), tokens.texts.len())));
    }
    let prefix = gguf.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let around = Around::read(gguf, &tokens, true)?;
    let unknown = match gguf.token(UNKNOWN)? {
        Some(id) => Some(tokens.text(id)?.to_owned()),
        None => tokens.texts.first().filter(|_| tokens.kinds.first() == Some(&Kind::Unknown)).cloned(),
    };
    let ids = tokens.ids();
    let merges = score_merges::of(&tokens, &ids, &scores);
    let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" });
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    let mut normalizers = vec![spaces];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": "\u{2581}" }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    Ok(File {
        version: None,
        added_tokens: tokens.added(),
        normalizer: json!({ "type": "Sequence", "normalizers": normalizers }),
        pre_tokenizer: Json::Null,
        post_processor: around.section(),
        decoder: json!({ "type": "Sequence", "decoders": decoders }),
        model: Model { unk_token: unknown, fuse_unk: Some(true), byte_fallback: Some(true), ..merging(ids, merges) },
    })
}

fn merging(ids: Ids, merges: Vec<(String, String)>) -> Model {
    Model {
        kind: Some("BPE".into()),
        vocab: Vocabulary::Ids(ids),
        merges: Some(Merges(merges)),
        unk_token: None,
        unk_id: None,
        dropout: None,
        continuing_subword_prefix: None,
        end_of_word_suffix: None,
        fuse_unk: None,
        byte_fallback: None,
        ignore_merges: None,
        max_input_chars_per_word: None,
    }
}

/// What is put around a text.
struct Around {
    begin: Option<(u32, String)>,
    end: Option<(u32, String)>,
}

impl Around {
    /// `begins`: whether a begin token is put where the file does not say.
    fn read(gguf: &Gguf, tokens: &Tokens, begins: bool) -> Result<Self> {
        let token = |adds: &str, default: bool, key: &str| {
            let id = if gguf.flag(adds)?.unwrap_or(default) { gguf.token(key)? } else { None };
            id.map(|id| Ok((id, tokens.text(id)?.to_owned()))).transpose()
        };
        Ok(Self {
            begin: token("tokenizer.ggml.add_bos_token", begins, BEGIN)?,
            end: token("tokenizer.ggml.add_eos_token", false, END)?,
        })
    }

    fn section(&self) -> Json {
        if self.begin.is_none() && self.end.is_none() {
            return Json::Null;
        }
        let part = |token: &Option<(u32, String)>| {
            token.as_ref().map(|(_, text)| json!({ "SpecialToken": { "id": text, "type_id": 0 } }))
        };
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        let single: Vec<Json> = part(&self.begin).into_iter().chain([text]).chain(part(&self.end)).collect();
        let defined: HashMap<&String, Json> = [&self.begin, &self.end]
            .into_iter()
            .flatten()
            .map(|(id, text)| (text, json!({ "id": text, "ids": [id], "tokens": [text] })))
            .collect();
        json!({ "type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": defined })
    }
}

/// The text of each id that is asked for.
pub(super) fn texts_of(gguf: &Gguf, ids: &[Option<u32>]) -> Result<Vec<Option<String>>> {
    let mut texts = vec![None; ids.len()];
    let mut at = 0;
    gguf.each_text(TOKENS, |text| {
        for (found, _) in texts.iter_mut().zip(ids).filter(|(_, id)| **id == Some(at)) {
            *found = Some(text.to_owned());
        }
        at += 1;
        Ok(())
    })?;
    Ok(texts)
}
