//! Tokens that files beside `tokenizer.json` declare. The rules, and the order in which new tokens get their ids, are those
//! of `from_pretrained` of transformers 5.24's `PreTrainedTokenizerFast`.

use serde_json::{Value, json};
use understory_model::chat::{ChatTemplate, Conversation};
use understory_model::config::ModelConfig;
use understory_model::tokenizer::Tokenizer;
use understory_protocol::{ChatMessage, Error};

use super::{MemoryFiles, fixture};

/// The fixture without the last two tokens of its vocabulary: 510 is the next id.
fn without_last_two() -> MemoryFiles {
    let files = MemoryFiles::load(&fixture("llama"));
    let mut tokenizer: Value = serde_json::from_str(&files.text("tokenizer.json")).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    vocabulary.retain(|_, id| id.as_u64().unwrap() < 510);
    let vocabulary = vocabulary.clone();
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    merges.retain(|merge| {
        let joined = merge.as_array().map(|pair| pair.iter().map(|piece| piece.as_str().unwrap()).collect::<String>());
        vocabulary.contains_key(&joined.unwrap_or_else(|| merge.as_str().unwrap().replace(' ', "")))
    });
    files.with("tokenizer.json", tokenizer.to_string())
}

fn open(files: &MemoryFiles) -> Result<Tokenizer, Error> {
    Tokenizer::from_files(files, &ModelConfig::from_files(files).unwrap())
}

/// What `Hi<|im_end|>` is with the files of these names and contents. `Hi` is 40, 73.
fn ids_with(extra: &[(&str, Value)]) -> Vec<u32> {
    let files = extra.iter().fold(without_last_two(), |files, (name, content)| files.with(name, content.to_string()));
    open(&files).unwrap().encode("Hi<|im_end|>", false).unwrap()
}

fn config(content: Value) -> (&'static str, Value) {
    ("tokenizer_config.json", content)
}

fn im_end(special: bool) -> Value {
    json!({ "content": "<|im_end|>", "lstrip": false, "rstrip": false, "normalized": false, "single_word": false,
        "special": special })
}

/// Reading `tokenizer.json` alone spells the token in pieces.
#[test]
fn a_token_may_be_declared_in_any_of_four_places() {
    assert!(ids_with(&[]).len() > 3);
    let known = vec![40, 73, 510];
    assert_eq!(ids_with(&[config(json!({ "added_tokens_decoder": { "510": im_end(true) } }))]), known);
    assert_eq!(ids_with(&[("added_tokens.json", json!({ "<|im_end|>": 510 }))]), known);
    assert_eq!(ids_with(&[config(json!({ "eos_token": "<|im_end|>" }))]), known);
    assert_eq!(ids_with(&[config(json!({ "pad_token": im_end(false) }))]), known);
    assert_eq!(ids_with(&[config(json!({ "image_token": "<|im_end|>" }))]), known);
    assert_eq!(ids_with(&[config(json!({ "additional_special_tokens": ["<|im_end|>"] }))]), known);
    assert_eq!(ids_with(&[config(json!({ "extra_special_tokens": { "im_end_token": "<|im_end|>" } }))]), known);
    assert_eq!(ids_with(&[("special_tokens_map.json", json!({ "eos_token": im_end(true) }))]), known);
    // An `added_tokens_decoder` is the newer form of both older files, which then count for nothing.
    let decoder = config(json!({ "added_tokens_decoder": {} }));
    assert!(ids_with(&[decoder.clone(), ("added_tokens.json", json!({ "<|im_end|>": 510 }))]).len() > 3);
    assert!(ids_with(&[decoder, ("special_tokens_map.json", json!({ "eos_token": "<|im_end|>" }))]).len() > 3);
}

/// A token of the vocabulary that is only now called special keeps its id, is found in a text, and has no text itself.
#[test]
fn a_special_token_of_the_vocabulary_keeps_its_id() {
    let files = without_last_two();
    let mut tokenizer: Value = serde_json::from_str(&files.text("tokenizer.json")).unwrap();
    tokenizer["model"]["vocab"]["<|im_end|>"] = json!(510);
    let files = files.with("tokenizer.json", tokenizer.to_string());
    assert_ne!(open(&files).unwrap().encode("Hi<|im_end|>", false).unwrap(), [40, 73, 510]);
    let files = files.with("tokenizer_config.json", json!({ "eos_token": "<|im_end|>" }).to_string());
    let tokenizer = open(&files).unwrap();
    assert_eq!(tokenizer.encode("Hi<|im_end|>", false).unwrap(), [40, 73, 510]);
    assert_eq!(tokenizer.decode(&[40, 73, 510]).unwrap(), "Hi");
}

/// Named tokens come after those with ids, in the order bos, eos, unk, ..., whatever the file's; a number orders as a
/// number, not as text.
#[test]
fn new_tokens_get_their_ids_in_order() {
    let files = without_last_two().with_vocab_size(600);
    let plain = |content: &str| json!({ "content": content });
    let declared = json!({
        "eos_token": "<e>", "bos_token": "<b>",
        "added_tokens_decoder": { "1000": plain("<thousand>"), "511": plain("<two>"), "510": plain("<one>") },
        "extra_special_tokens": ["<x>", "<e>"],
    });
    let tokenizer = open(&files.with("tokenizer_config.json", declared.to_string())).unwrap();
    let ids = tokenizer.encode("<one><two><thousand><b><e><x>", false).unwrap();
    assert_eq!(ids, [510, 511, 512, 513, 514, 515]);
    // Without `special`, a token has text; a named one never.
    assert_eq!(tokenizer.decode(&ids).unwrap(), "<one><two><thousand>");
}

/// Flags are those declared: this one takes the space around it along.
#[test]
fn a_declared_token_keeps_its_flags() {
    let mut token = im_end(true);
    (token["lstrip"], token["rstrip"]) = (json!(true), json!(true));
    let files = without_last_two()
        .with("tokenizer_config.json", json!({ "added_tokens_decoder": { "510": token } }).to_string());
    assert_eq!(open(&files).unwrap().encode("Hi \n <|im_end|>  Hi", false).unwrap(), [40, 73, 510, 40, 73]);
}

#[test]
fn a_declaration_that_is_none_is_an_error() {
    for (file, content) in [
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", r#"{ "added_tokens_decoder": [] }"#),
        ("tokenizer_config.json", r#"{ "added_tokens_decoder": { "x": {} } }"#),
        ("tokenizer_config.json", r#"{ "added_tokens_decoder": { "1": { "content": 7 } } }"#),
        ("special_tokens_map.json", "7"),
        ("added_tokens.json", r#"{ "<a>": -1 }"#),
        ("added_tokens.json", r#"{ "<a>": 4294967296 }"#),
    ] {
        match open(&without_last_two().with(file, content)).err() {
            Some(Error::BadFile { file: named, .. }) => assert_eq!(named, file),
            other => panic!("{file} {content}: {other:?}"),
        }
    }
}

/// The model has 512 rows and the vocabulary fills them: with an id of 512 no prompt that spells the token could run.
#[test]
fn a_name_without_a_row_for_it_is_text() {
    let whole = MemoryFiles::load(&fixture("llama")).with("tokenizer_config.json", r#"{"eos_token": "<|im_end|>"}"#);
    let tokenizer = open(&whole).unwrap();
    let ids = tokenizer.encode("Hi<|im_end|>", false).unwrap();
    assert!(ids.len() > 3 && ids.iter().all(|id| *id < 512), "{ids:?}");
    assert_eq!(tokenizer.decode(&ids).unwrap(), "Hi<|im_end|>");
}

/// Chat templates name the special tokens of either file; where both do and the newer form is absent, the older file wins.
#[test]
fn a_chat_template_knows_the_names_of_either_file() {
    let rendered = |config: Value| {
        let files = MemoryFiles::default()
            .with("chat_template.jinja", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")
            .with("tokenizer_config.json", config.to_string())
            .with("special_tokens_map.json", json!({ "bos_token": "<s>", "eos_token": im_end(true) }).to_string());
        let message = ChatMessage { role: "user".into(), content: "Hi".into() };
        let conversation = Conversation::from_messages(&[message], false).unwrap();
        ChatTemplate::from_files(&files).unwrap().unwrap().render(&conversation, &|| false).unwrap()
    };
    assert_eq!(rendered(json!({})), "<s>Hi<|im_end|>");
    assert_eq!(rendered(json!({ "bos_token": "<b>" })), "<s>Hi<|im_end|>");
    assert_eq!(rendered(json!({ "bos_token": "<b>", "added_tokens_decoder": {} })), "<b>Hi");
}
