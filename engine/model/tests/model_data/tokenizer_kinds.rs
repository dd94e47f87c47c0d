//! A small tokenizer of each kind, with the parts that published ones of that kind have.

use base64::Engine;
use serde_json::{Value, json};

use super::MemoryFiles;

/// The kinds of models.
pub struct Kinds;

pub const KINDS: Kinds = Kinds;

impl Kinds {
    pub fn names(&self) -> [&'static str; 5] {
        ["bpe", "bytes", "unigram", "wordpiece", "wordlevel"]
    }

    /// A model with this tokenizer, with more rows than any of them has tokens.
    pub fn with(&self, tokenizer: Value) -> MemoryFiles {
        let config = json!({ "model_type": "llama", "vocab_size": 100_000 });
        MemoryFiles::default().with("config.json", config.to_string()).with("tokenizer.json", tokenizer.to_string())
    }
}

const WORDS: [&str; 16] =
    ["<unk>", "<s>", "</s>", "<mask>", "\u{2581}", "a", "b", "x", "h", "e", "f", "o", "ab", "\u{2581}a", "##b", "fox"];

fn ids() -> Value {
    WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect()
}

fn added() -> Value {
    let token = |(id, lstrip): (usize, bool)| {
        json!({ "id": id, "content": WORDS[id], "single_word": false, "lstrip": lstrip, "rstrip": false,
            "normalized": id == 0, "special": true })
    };
    json!([(0, false), (1, false), (2, false), (3, true)].map(token))
}

/// A `Precompiled` normalizer that replaces `x` by what stands at `value` in `texts`.
pub fn charsmap(value: u32, texts: &str) -> Value {
    let mut units = vec![0u32; 512];
    units[usize::from(b'x')] = 1 << 18 | 1 << 8 | u32::from(b'x');
    units[256 ^ usize::from(b'x')] = value;
    let units = units.iter().flat_map(|unit| unit.to_le_bytes());
    let bytes: Vec<u8> = 2048u32.to_le_bytes().into_iter().chain(units).chain(texts.bytes()).collect();
    json!({ "type": "Precompiled",
        "precompiled_charsmap": base64::engine::general_purpose::STANDARD.encode(bytes) })
}

fn template() -> Value {
    json!({ "type": "TemplateProcessing",
        "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
        "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } } })
}

/// `tokenizer.json` of that kind.
pub fn model_of(kind: &str) -> Value {
    let metaspace =
        json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true });
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let merges = json!([["a", "b"], ["\u{2581}", "a"]]);
    let (normalizer, pre_tokenizer, post_processor, decoder, model) = match kind {
        // As Llama 2.
        "bpe" => (
            json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "\u{2581}" },
                { "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" }] }),
            Value::Null,
            template(),
            json!({ "type": "Sequence", "decoders": [
                { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " }, { "type": "ByteFallback" },
                { "type": "Fuse" }, { "type": "Strip", "content": " ", "start": 1, "stop": 0 }] }),
            json!({ "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": ids(),
                "merges": merges, "dropout": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "ignore_merges": false }),
        ),
        // As Llama 3.
        "bytes" => (
            json!({ "type": "NFC" }),
            json!({ "type": "Sequence", "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": "(?i:'s|'t)|\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+" },
                    "behavior": "Isolated", "invert": false }, bytes] }),
            json!({ "type": "Sequence", "processors": [bytes, template()] }),
            bytes.clone(),
            json!({ "type": "BPE", "unk_token": "<unk>", "vocab": ids(), "merges": ["a b"], "ignore_merges": true }),
        ),
        // As XLM-RoBERTa.
        "unigram" => (
            json!({ "type": "Sequence", "normalizers": [charsmap(0, "ab\0"),
                { "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": "\u{2581}" },
                { "type": "Strip", "strip_left": false, "strip_right": true }] }),
            json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, metaspace] }),
            template(),
            metaspace.clone(),
            json!({ "type": "Unigram", "unk_id": 0, "byte_fallback": false,
                "vocab": WORDS.iter().map(|word| json!([word, -(word.len() as f64)])).collect::<Vec<_>>() }),
        ),
        // As BERT.
        "wordpiece" => (
            json!({ "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                "lowercase": true }),
            json!({ "type": "BertPreTokenizer" }),
            json!({ "type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1] }),
            json!({ "type": "WordPiece", "prefix": "##", "cleanup": true }),
            json!({ "type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": ids() }),
        ),
        "wordlevel" => (
            json!({ "type": "Sequence", "normalizers": [{ "type": "NFD" }, { "type": "StripAccents" },
                { "type": "Lowercase" }] }),
            json!({ "type": "Sequence", "pretokenizers": [{ "type": "Whitespace" },
                { "type": "Digits", "individual_digits": true }, { "type": "Punctuation", "behavior": "Isolated" }] }),
            Value::Null,
            Value::Null,
            json!({ "type": "WordLevel", "unk_token": "<unk>", "vocab": ids() }),
        ),
        other => unreachable!("{other}"),
    };
    json!({ "version": "1.0", "truncation": null, "padding": null, "added_tokens": added(), "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder, "model": model })
}
