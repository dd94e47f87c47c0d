//! Tokens that files beside `tokenizer.json` declare, as transformers 5 takes them (`tokenization_utils_base.py`,
//! `tokenization_utils_tokenizers.py`). `tokenizer_config.json` declares added tokens as `added_tokens_decoder` and names
//! special ones (`eos_token`, ...). Where it has no `added_tokens_decoder`, an older repository's `special_tokens_map.json`
//! wins over its names, and `added_tokens.json` counts.
//!
//! A declared token that the vocabulary has becomes an added token under its id; another one is added at the end.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

use crate::files::{ModelFiles, read_text};
use crate::gguf::Gguf;
use crate::tokenizer;
use crate::tokenizer::file::Added;

const CONFIG: &str = "tokenizer_config.json";
const NAMES: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
const DECODER: &str = "added_tokens_decoder";
const EXTRA: &str = "extra_special_tokens";
/// The usual names, in the order in which they are added; other keys that end alike follow.
const USUAL: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

type Object = Map<String, Value>;

/// A JSON object; empty where there is no such file.
fn object(files: &dyn ModelFiles, file: &str) -> Result<Object> {
    let Some(text) = read_text(files, file)? else { return Ok(Object::new()) };
    serde_json::from_str(&text).map_err(|error| bad(file, format!("not a JSON object: {error}")))
}

fn bad(file: &str, reason: String) -> Error {
    Error::BadFile { file: file.into(), reason }
}

/// `tokenizer_config.json`, or what a GGUF file has in its place, with the names that `special_tokens_map.json` gives, where it counts.
///
/// # Errors
/// [`Error::BadFile`] for a file that is not a JSON object.
pub(crate) fn tokenizer_config(files: &dyn ModelFiles) -> Result<Object> {
    if let Some(gguf) = Gguf::open(files)? {
        return tokenizer::gguf::tokenizer_config(&gguf);
    }
    let mut config = object(files, CONFIG)?;
    if !config.contains_key(DECODER) {
        config.extend(object(files, NAMES)?);
    }
    if let Some(Value::Object(named)) = config.get(EXTRA).cloned() {
        config.extend(named);
    }
    Ok(config)
}

/// What is added to a tokenizer whose own added tokens are `own`, in this order.
///
/// # Errors
/// [`Error::BadFile`] for a file that is not JSON, or a token that is none.
pub(crate) fn declared(files: &dyn ModelFiles, own: &[Added]) -> Result<Vec<Added>> {
    let config = tokenizer_config(files)?;
    let (named, extra): (Vec<Added>, Vec<Added>) = (named(&config).collect(), extra(&config).collect());
    let is_named: HashSet<&str> = named.iter().map(|token| token.content.as_str()).collect();
    let is_extra: HashSet<&str> = extra.iter().map(|token| token.content.as_str()).collect();
    let mut by_id = BTreeMap::new();
    if let Some(decoder) = config.get(DECODER) {
        let decoder = decoder.as_object().ok_or_else(|| bad(CONFIG, format!("{DECODER} is not an object")))?;
        for (id, token) in decoder {
            let not = |reason: String| bad(CONFIG, format!("{DECODER} has `{}`: {reason}", shown(id)));
            let number: u32 = id.parse().map_err(|_| not("not an id".into()))?;
            let token = Added::deserialize(token).map_err(|error| not(error.to_string()))?;
            by_id.insert(number, Added { id: Some(number), ..token });
        }
    } else {
        for (content, id) in object(files, ADDED)? {
            let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let number = number.ok_or_else(|| bad(ADDED, format!("`{}` has no id", shown(&content))))?;
            let special = is_named.contains(&*content) || is_extra.contains(&*content);
            by_id.insert(number, Added { id: Some(number), special, ..Added::special(&content) });
        }
        by_id.extend(own.iter().filter_map(|token| Some((token.id?, token.clone()))));
    }
    let mut tokens: Vec<Added> = by_id.into_values().collect();
    for token in tokens.iter_mut().filter(|token| is_named.contains(&*token.content)) {
        token.special = true;
    }
    let mut known: HashSet<String> = own.iter().chain(&tokens).map(|token| token.content.clone()).collect();
    tokens.extend(named.iter().chain(&extra).filter(|token| known.insert(token.content.clone())).cloned());
    Ok(tokens)
}

/// `eos_token` and its like: a text, or an object with the text as `content`.
fn named(config: &Object) -> impl Iterator<Item = Added> {
    let others = config.keys().map(String::as_str).filter(|key| key.ends_with("_token") && !USUAL.contains(key));
    USUAL.into_iter().chain(others).filter_map(|key| token(config.get(key)?))
}

/// `extra_special_tokens`, else `additional_special_tokens` as it was called before, where it is a list.
fn extra(config: &Object) -> impl Iterator<Item = Added> {
    let list = |key: &str| config.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
    list(EXTRA).or_else(|| list("additional_special_tokens")).into_iter().flatten().filter_map(token)
}

fn token(value: &Value) -> Option<Added> {
    let token = match value {
        Value::String(content) => Added::special(content),
        Value::Object(_) => Added { id: None, special: true, ..Added::deserialize(value).ok()? },
        _ => return None,
    };
    Some(token).filter(|token| !token.content.is_empty())
}
