//! What a GGUF file says for a chat template, in the form of a `tokenizer_config.json`.

use serde_json::{Map, Value as Json, json};
use understory_protocol::Result;

use super::{BEGIN, END, UNKNOWN, texts_of};
use crate::gguf::{Gguf, Value};

const TEMPLATE: &str = "tokenizer.chat_template";
const NAMED_TEMPLATES: &str = "tokenizer.chat_template.";

/// The names of special tokens in a template, and the keys of their ids.
const NAMED: [(&str, &str); 8] = [
    ("bos_token", BEGIN),
    ("eos_token", END),
    ("unk_token", UNKNOWN),
    ("sep_token", "tokenizer.ggml.separator_token_id"),
    // as llama.cpp spelled it once
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("cls_token", "tokenizer.ggml.cls_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

/// Special tokens by name and `chat_template`: a text, or a list of named ones where none is the file's own.
///
/// # Errors
/// Those of reading, and of keys with values of another type.
pub(crate) fn tokenizer_config(gguf: &Gguf) -> Result<Map<String, Json>> {
    let ids = NAMED.map(|(_, key)| gguf.token(key)).into_iter().collect::<Result<Vec<_>>>()?;
    let texts = texts_of(gguf, &ids)?;
    let named = NAMED.iter().zip(texts).filter_map(|((name, _), text)| Some(((*name).to_owned(), Json::String(text?))));
    let mut config: Map<String, Json> = named.collect();
    let named = || {
        let templates = gguf.under(NAMED_TEMPLATES).filter_map(|(name, value)| match value {
            Value::Text(template) => Some(json!({ "name": name, "template": template })),
            _ => None,
        });
        Some(templates.collect::<Vec<_>>()).filter(|templates| !templates.is_empty()).map(Json::Array)
    };
    let template = gguf.text(TEMPLATE)?.map(Json::from).or_else(named);
    config.extend(template.map(|template| ("chat_template".to_owned(), template)));
    Ok(config)
}
