//! The parts of a tokenizer around its model: normalizers, pre-tokenizers, decoders and what is put around a text. Each is
//! read by its stated type, and what the library takes for granted is checked first:
//!
//! | part | what is checked |
//! |---|---|
//! | any | a known type; how many and how deeply nested they are |
//! | `Precompiled` | every index of the table ([`super::charsmap`]) |
//! | `Prepend` | not empty (the library loses count of the text), not long |
//! | `Replace`, `Split` | the length of the pattern and of the content; [`super::pattern`] bounds their time |
//! | `FixedLength` | not 0 |
//! | `ByteLevel` before the model | how many there are, since each may double a text |
//! | `TemplateProcessing` | its tokens are defined, it speaks of one text, nothing before it has made several of that |
//! | decoders | nothing here: [`super::decoding`] bounds them while they run |

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::delimiter::CharDelimiterSplit;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::sequence::Sequence as PostProcessors;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};
use understory_protocol::foreign::shown;

use super::charsmap;
use super::decoding::{self, Decoders};
use super::limits::{MAX_AFFIX_BYTES, MAX_BYTE_LEVELS, MAX_COMPONENTS, MAX_DEPTH, MAX_TEMPLATE_PARTS, at_most};
use super::normalizing::{self, Normalizers};
use super::pattern::Timed;
use super::splitting::{self, PreTokenizers};

type Object = Map<String, Value>;

/// The components of a section in the order in which they run, lists taken apart; none where it is `null`.
fn components<'a>(section: &'a Value, list: &str) -> Result<Vec<(&'a str, &'a Object)>, String> {
    fn collect<'a>(
        value: &'a Value,
        list: &str,
        depth: usize,
        found: &mut Vec<(&'a str, &'a Object)>,
    ) -> Result<(), String> {
        let object = value.as_object().ok_or("a component is no object")?;
        let kind = object.get("type").and_then(Value::as_str).ok_or("a component has no type")?;
        if kind != "Sequence" {
            found.push((kind, object));
            return at_most("the number of components", found.len(), MAX_COMPONENTS);
        }
        at_most("the depth of nested lists", depth, MAX_DEPTH)?;
        let parts = object.get(list).and_then(Value::as_array).ok_or_else(|| format!("a Sequence has no {list}"))?;
        parts.iter().try_for_each(|part| collect(part, list, depth + 1, found))
    }
    let mut found = Vec::new();
    if !section.is_null() {
        collect(section, list, 1, &mut found)?;
    }
    Ok(found)
}

fn read<T: DeserializeOwned>(object: &Object) -> Result<T, String> {
    serde_json::from_value(Value::Object(object.clone())).map_err(|error| error.to_string())
}

fn unknown<T>(kind: &str) -> Result<T, String> {
    Err(format!("the type `{}` is not known", shown(kind)))
}

/// Empty where it is no text: reading the component refuses that.
fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What a `Replace` puts in place of a match.
fn replacement(object: &Object) -> Result<&str, String> {
    let content = object.get("content").and_then(Value::as_str).ok_or("a Replace has no content")?;
    at_most("the length of a replacement", content.len(), MAX_AFFIX_BYTES).map(|()| content)
}

/// # Errors
/// What is wrong with the section.
pub(super) fn normalizers(section: &Value) -> Result<Normalizers, String> {
    let normalizer = |(kind, object): (&str, &Object)| {
        let library: NormalizerWrapper = match kind {
            "Replace" => return Ok(normalizing::Step::Replace(Timed::of(object)?, replacement(object)?.into())),
            "Bert" | "BertNormalizer" => read::<BertNormalizer>(object)?.into(),
            "Precompiled" => charsmap::read(text(object, "precompiled_charsmap"))?.into(),
            "Prepend" if text(object, "prepend").is_empty() => return Err("Prepend has nothing to prepend".into()),
            "Prepend" => {
                at_most("the length of a prefix", text(object, "prepend").len(), MAX_AFFIX_BYTES)?;
                read(object)?
            }
            "Strip" | "StripAccents" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "Nmt" | "ByteLevel" => {
                read(object)?
            }
            other => return unknown(other),
        };
        Ok(normalizing::Step::Library(library))
    };
    components(section, "normalizers")?.into_iter().map(normalizer).collect::<Result<_, String>>().map(Normalizers)
}

/// # Errors
/// What is wrong with the section.
pub(super) fn pre_tokenizers(section: &Value) -> Result<PreTokenizers, String> {
    let components = components(section, "pretokenizers")?;
    let doubling = components.iter().filter(|(kind, _)| *kind == "ByteLevel").count();
    at_most("the number of ByteLevel pre-tokenizers", doubling, MAX_BYTE_LEVELS)?;
    let pre_tokenizer = |(kind, object): (&str, &Object)| {
        let library: PreTokenizerWrapper = match kind {
            "Split" => {
                #[derive(Deserialize)]
                #[serde(expecting = "an object")]
                struct Rest {
                    behavior: SplitDelimiterBehavior,
                    #[serde(default)]
                    invert: bool,
                }
                let Rest { behavior, invert } = read(object)?;
                return Ok(splitting::Step::Split { pattern: Timed::of(object)?, behavior, invert });
            }
            "Delimiter" | "CharDelimiterSplit" => read::<CharDelimiterSplit>(object)?.into(),
            "FixedLength" if object.get("length").and_then(Value::as_u64) == Some(0) => {
                return Err("FixedLength has the length 0".into());
            }
            "BertPreTokenizer" | "ByteLevel" | "Metaspace" | "Whitespace" | "Punctuation" | "WhitespaceSplit"
            | "Digits" | "UnicodeScripts" | "FixedLength" => read(object)?,
            other => return unknown(other),
        };
        Ok(splitting::Step::Library(library))
    };
    components.into_iter().map(pre_tokenizer).collect::<Result<_, String>>().map(PreTokenizers)
}

/// # Errors
/// What is wrong with the section.
pub(super) fn post_processor(section: &Value) -> Result<Option<PostProcessorWrapper>, String> {
    let components = components(section, "processors")?;
    if components.iter().filter(|(kind, _)| *kind == "TemplateProcessing").count() > 1 {
        return Err("there are several templates around a text".into());
    }
    let post_processor = |(kind, object): (&str, &Object)| match kind {
        "RobertaProcessing" => read::<RobertaProcessing>(object).map(Into::into),
        "BertProcessing" => read::<BertProcessing>(object).map(Into::into),
        "ByteLevel" => read::<tokenizers::pre_tokenizers::byte_level::ByteLevel>(object).map(Into::into),
        "TemplateProcessing" => {
            check_template(object).and_then(|()| read::<TemplateProcessing>(object)).map(Into::into)
        }
        other => unknown(other),
    };
    let list = components.into_iter().map(post_processor).collect::<Result<Vec<_>, String>>()?;
    Ok(Some(list).filter(|list| !list.is_empty()).map(|list| PostProcessors::new(list).into()))
}

/// The template for one text names it as `A`, and only tokens that the file defines.
fn check_template(object: &Object) -> Result<(), String> {
    let defined = object.get("special_tokens").and_then(Value::as_object);
    let parts = object.get("single").and_then(Value::as_array).ok_or("a template has no parts")?;
    at_most("the number of parts of a template", parts.len(), MAX_TEMPLATE_PARTS)?;
    let mut added = 0;
    for part in parts {
        if part["Sequence"]["id"] == "B" {
            return Err("a template for one text speaks of a second".into());
        }
        if let Some(id) = part["SpecialToken"]["id"].as_str() {
            let token = defined.and_then(|tokens| tokens.get(id));
            let token =
                token.ok_or_else(|| format!("a template speaks of `{}`, which it does not define", shown(id)))?;
            let len = |key: &str| token[key].as_array().map_or(0, Vec::len);
            if len("ids") != len("tokens") {
                return Err(format!("a template gives `{}` ids and texts of different number", shown(id)));
            }
            added += len("ids");
        }
    }
    at_most("the number of tokens of a template", added, MAX_TEMPLATE_PARTS)
}

/// # Errors
/// What is wrong with the section.
pub(super) fn decoders(section: &Value) -> Result<Decoders, String> {
    let decoder = |(kind, object): (&str, &Object)| match kind {
        "Replace" => Ok(decoding::Step::Replace(Timed::of(object)?, replacement(object)?.into())),
        "BPEDecoder" | "ByteLevel" | "WordPiece" | "Metaspace" | "CTC" | "Fuse" | "Strip" | "ByteFallback" => {
            read(object).map(decoding::Step::Library)
        }
        other => unknown(other),
    };
    let list = components(section, "decoders")?.into_iter().map(decoder).collect::<Result<_, String>>()?;
    Ok(Decoders(Some(list).filter(|_| !section.is_null())))
}
