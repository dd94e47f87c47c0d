//! Tokens: `transformers`' ids, and streams that put together are the whole.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use understory_model::config::ModelConfig;
use understory_model::tokenizer::Tokenizer;
use understory_protocol::Error;

use super::{MemoryFiles, fixture, model_folders, root};

fn open(files: &MemoryFiles) -> Result<Tokenizer, Error> {
    Tokenizer::from_files(files, &ModelConfig::from_files(files).unwrap())
}

#[test]
fn token_ids_are_those_of_transformers() {
    for folder in model_folders(false) {
        let files = MemoryFiles::load(&folder);
        let tokenizer = open(&files).unwrap();
        let golden: Value = serde_json::from_str(&files.text("golden.json")).unwrap();
        let cases = golden["prompts"].as_array().unwrap().iter().chain([&golden["nll"]]);
        for case in cases {
            let (text, ids) = (case["text"].as_str().unwrap(), &case["token_ids"]);
            let ids: Vec<u32> = ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(tokenizer.encode(text, true).unwrap(), ids, "{folder:?}");
            // Special tokens are the one thing that is not shown.
            assert_eq!(tokenizer.decode(&ids).unwrap(), text.replace("<|endoftext|>", ""));
        }
    }
}

/// The bundled models: byte-level pieces, so that characters are split over tokens.
static TALES: LazyLock<Tokenizer> =
    LazyLock::new(|| open(&MemoryFiles::load(&root().join("models").join("tales"))).unwrap());

/// As Llama 2 and Gemma have it: words that begin with U+2581, and tokens for the bytes of what is not a word.
static WORDS: LazyLock<Tokenizer> = LazyLock::new(|| {
    let pieces = ["<unk>", "<s>", "</s>"].map(String::from).into_iter();
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let words = ["\u{2581}", "a", "b", "c", "é", "\u{2581}a", "ab", "\u{2581}ab", "\u{2581}\u{2581}"].map(String::from);
    let vocabulary: Vec<String> = pieces.chain(bytes).chain(words).collect();
    let n = vocabulary.len();
    let vocabulary: Value = vocabulary.into_iter().enumerate().map(|(id, piece)| (piece, json!(id))).collect();
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false })
    };
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "\u{2581}" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" },
        ] },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" }, { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": { "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary,
            "merges": [["\u{2581}", "a"], ["a", "b"], ["\u{2581}", "ab"], ["\u{2581}", "\u{2581}"]] },
    });
    // The model's vocabulary is padded beyond the tokenizer's.
    let config = json!({ "model_type": "llama", "vocab_size": n + 5 });
    let files =
        MemoryFiles::default().with("config.json", config.to_string()).with("tokenizer.json", tokenizer.to_string());
    open(&files).unwrap()
});

/// Every piece, the last from `finish`.
fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = tokenizer.stream();
    let mut pieces: Vec<_> = ids.iter().map(|&id| stream.push(tokenizer, id).unwrap()).collect();
    pieces.push(stream.finish(tokenizer).unwrap());
    pieces
}

fn any_text() -> impl Strategy<Value = String> {
    const PARTS: [&str; 11] = ["🌲", "👩‍👩‍👧", "🇳🇴", "e\u{301}", "水", "ab", "abc", " a", "  ", "\n", "<0xE2>"];
    let part = prop_oneof![
        any::<char>().prop_filter("no replacement characters", |&c| c != '\u{FFFD}').prop_map(String::from),
        proptest::sample::select(&PARTS[..]).prop_map(String::from),
        "[a-c é]{1,3}".prop_map(String::from),
    ];
    vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Decoding each token alone fails here at the first emoji (byte-level) and at the first space (words). So does the
    /// window of the last tokens without any before it.
    #[test]
    fn a_stream_is_the_whole_text(text in any_text()) {
        for tokenizer in [&*TALES, &*WORDS] {
            let ids = tokenizer.encode(&text, false).unwrap();
            let pieces = stream(tokenizer, &ids);
            prop_assert_eq!(pieces.concat(), tokenizer.decode(&ids).unwrap());
            prop_assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')), "{:?}", pieces);
        }
        prop_assert_eq!(TALES.decode(&TALES.encode(&text, false).unwrap()).unwrap(), text);
    }

    /// Any tokens at all, as a model with random weights writes them: broken characters, special tokens, ids without
    /// a token. The second strategy prefers bytes.
    #[test]
    fn a_stream_is_what_decode_gives(
        tales in vec(0u32..4096, 0..150),
        words in vec(prop_oneof![0u32..275, 190u32..262, 259u32..273], 0..150),
    ) {
        for (tokenizer, ids) in [(&*TALES, tales), (&*WORDS, words)] {
            prop_assert_eq!(stream(tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
        }
    }
}

/// Text comes as soon as it is certain, not at the end.
#[test]
fn a_stream_does_not_lag() {
    let text = "The fox 🦊 said: naïve? ".repeat(30);
    for tokenizer in [&*TALES, &*WORDS] {
        let ids = tokenizer.encode(&text, false).unwrap();
        let mut stream = tokenizer.stream();
        let mut shown = String::new();
        for (n, &id) in ids.iter().enumerate() {
            shown += &stream.push(tokenizer, id).unwrap();
            // Behind by no more than the bytes of one character, which may be a word of its own here.
            let ahead = tokenizer.decode(&ids[..=n]).unwrap();
            let lag = ahead.trim_end_matches('\u{FFFD}').len().saturating_sub(shown.len());
            assert!(lag <= 24, "{lag} bytes behind after {n} tokens");
        }
    }
}

#[test]
fn special_tokens_have_no_text() {
    let ids = WORDS.encode("a<s>b</s>", false).unwrap();
    assert!(ids.contains(&1) && ids.contains(&2), "{ids:?}");
    assert!(!WORDS.decode(&ids).unwrap().contains('<'));
    assert_eq!(WORDS.token_text(1).as_deref(), Some("<s>"));
    assert_eq!(WORDS.token_text(100_000), None);
}

/// A tokenizer may know more tokens than the model has rows for: only a text that holds one is refused. Comparing the sizes
/// when the tokenizer is opened fails this.
#[test]
fn a_token_without_a_row_is_refused_where_it_is_used() {
    for name in ["llama", "gemma3"] {
        let files = MemoryFiles::load(&fixture(name));
        let mut tokenizer: Value = serde_json::from_str(&files.text("tokenizer.json")).unwrap();
        let mut token = tokenizer["added_tokens"][0].clone();
        (token["id"], token["content"]) = (json!(512), json!("<image>"));
        tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
        let tokenizer = open(&files.with("tokenizer.json", tokenizer.to_string())).unwrap();
        assert_eq!(tokenizer.vocab_size(), 513);
        assert!(tokenizer.encode("a fox", false).is_ok());
        assert!(matches!(tokenizer.encode("a <image>", false), Err(Error::BadToken { token: 512, vocab_size: 512 })));
    }
    let files = MemoryFiles::load(&fixture("llama"));
    assert!(open(&files.clone().with_vocab_size(600)).is_ok());
    let smaller = open(&files.with_vocab_size(41)).unwrap();
    assert_eq!(smaller.encode("H", false).unwrap(), [40]);
    assert!(matches!(smaller.encode("Hi", false), Err(Error::BadToken { token: 73, vocab_size: 41 })));
}

#[test]
fn a_broken_tokenizer_is_an_error() {
    let files = MemoryFiles::load(&fixture("llama"));
    for bytes in [&b"{}"[..], b"not json", b"\xff\xfe"] {
        assert!(matches!(open(&files.clone().with("tokenizer.json", bytes)), Err(Error::Tokenizer { .. })));
    }
    assert!(matches!(open(&files.without("tokenizer.json")), Err(Error::NotAModel { .. })));
}

/// Limits that a repository saved from its training run do not cut a prompt or pad it.
#[test]
fn truncation_and_padding_are_ignored() {
    let files = MemoryFiles::load(&fixture("llama"));
    let plain = open(&files).unwrap().encode("Once upon a time", true).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&files.text("tokenizer.json")).unwrap();
    tokenizer["truncation"] = json!({ "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0 });
    tokenizer["padding"] = json!({ "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>" });
    let limited = open(&files.with("tokenizer.json", tokenizer.to_string())).unwrap();
    assert_eq!(limited.encode("Once upon a time", true).unwrap(), plain);
}
