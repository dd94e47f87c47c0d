//! `tokenizer.json` as parts. The file is somebody else's, and the library panics on some files; so its own reading is not
//! used: the parts are read here, checked, and put together.

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab as Ids;

/// What is read of the file. Truncation and padding are limits of somebody's training run: a prompt is never cut or padded
/// here.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct File {
    pub version: Option<String>,
    #[serde(default)]
    pub added_tokens: Vec<Added>,
    #[serde(default)]
    pub normalizer: Value,
    #[serde(default)]
    pub pre_tokenizer: Value,
    #[serde(default)]
    pub post_processor: Value,
    #[serde(default)]
    pub decoder: Value,
    pub model: Model,
}

/// A token beside the model's vocabulary, as `tokenizer.json` and `tokenizer_config.json` declare it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct Added {
    pub id: Option<u32>,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    /// special tokens are not, where this is left out
    pub normalized: Option<bool>,
    #[serde(default)]
    pub special: bool,
}

impl Added {
    pub fn special(content: &str) -> Self {
        let content = content.to_owned();
        Self { id: None, content, single_word: false, lstrip: false, rstrip: false, normalized: None, special: true }
    }

    pub fn token(self) -> AddedToken {
        AddedToken {
            content: self.content,
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized: self.normalized.unwrap_or(!self.special),
            special: self.special,
        }
    }
}

/// The vocabulary and its rules; which keys count depends on the kind.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct Model {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub vocab: Vocabulary,
    pub merges: Option<Merges>,
    pub unk_token: Option<String>,
    pub unk_id: Option<usize>,
    pub dropout: Option<f32>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    pub fuse_unk: Option<bool>,
    pub byte_fallback: Option<bool>,
    pub ignore_merges: Option<bool>,
    pub max_input_chars_per_word: Option<usize>,
}

pub(super) enum Vocabulary {
    Ids(Ids),
    /// Unigram: pieces and their scores, in the order of their ids
    Scores(Vec<(String, f64)>),
}

/// Pairs of pieces that become one, the first rule first.
pub(super) struct Merges(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary: tokens with ids, or a list of pieces with scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut ids = Ids::default();
                while let Some((token, id)) = map.next_entry()? {
                    ids.insert(token, id);
                }
                Ok(Vocabulary::Ids(ids))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocabulary, A::Error> {
                let mut scores = Vec::new();
                while let Some(piece) = list.next_element()? {
                    scores.push(piece);
                }
                Ok(Vocabulary::Scores(scores))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rules: Vec<Rule> = Deserialize::deserialize(deserializer)?;
        let pairs = rules.into_iter().filter_map(|rule| match rule {
            Rule::Pair(first, second) => Some((first, second)),
            Rule::Version => None,
        });
        Ok(Self(pairs.collect()))
    }
}

/// `["a", "b"]`, or a line of the older `merges.txt`: `a b`, after one that names a version.
enum Rule {
    Pair(String, String),
    Version,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Rule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two pieces")
            }

            fn visit_str<E: serde::de::Error>(self, line: &str) -> Result<Rule, E> {
                if line.starts_with("#version") {
                    return Ok(Rule::Version);
                }
                match line.split_once(' ') {
                    Some((first, second)) if !second.contains(' ') => Ok(Rule::Pair(first.into(), second.into())),
                    _ => Err(E::custom("a merge is not two pieces with a space between them")),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rule, A::Error> {
                match (list.next_element()?, list.next_element()?, list.next_element::<String>()?) {
                    (Some(first), Some(second), None) => Ok(Rule::Pair(first, second)),
                    _ => Err(A::Error::custom("a merge is not two pieces")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}
