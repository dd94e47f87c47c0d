//! Tokenizers that nobody made in good faith: an error or a tokenizer, never a panic. Natively a panic of the library is
//! caught and told as such; here not even that may happen, since in a browser it ends the engine.

use serde_json::{Value, json};
use understory_model::config::ModelConfig;
use understory_model::tokenizer::Tokenizer;
use understory_protocol::Error;

use super::tokenizer_kinds::{KINDS, charsmap, model_of};
use super::{MemoryFiles, fixture};

/// A fault by its name, and what brings it into a good file.
type Planted = (&'static str, fn(&mut Value));

const TEXTS: [&str; 9] = [
    "",
    "a",
    " The fox, and 12 ﬁsh.\n",
    "  a  b  ",
    "é\u{301}水🌲\u{0}",
    "<s>a<mask> </s>",
    "aaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\u{2581}x\u{2581}",
];

/// Opens the tokenizer and uses it. `Err`: the message.
///
/// # Panics
/// If the library did.
fn used(files: &MemoryFiles) -> Result<(), String> {
    let attempt = || -> Result<(), Error> {
        let tokenizer = Tokenizer::from_files(files, &ModelConfig::from_files(files)?)?;
        let mut last = Ok(());
        for text in TEXTS {
            for special in [false, true] {
                match tokenizer.encode(text, special) {
                    Ok(ids) => drop(tokenizer.decode(&ids)?),
                    Err(error) => last = Err(error),
                }
            }
        }
        let ids: Vec<u32> = (0..40).chain([u32::MAX]).collect();
        let mut stream = tokenizer.stream();
        for &id in &ids {
            stream.push(&tokenizer, id)?;
            tokenizer.decode(&[id])?;
            tokenizer.shown(id);
        }
        stream.finish(&tokenizer)?;
        last
    };
    let outcome = attempt().map_err(|error| error.to_string());
    if let Err(message) = &outcome {
        assert!(!message.contains("panicked"), "{message}");
    }
    outcome
}

fn with_bytes(files: &MemoryFiles, tokenizer: impl Into<Vec<u8>>) -> MemoryFiles {
    files.clone().with("tokenizer.json", tokenizer)
}

/// Giving the bytes to the library as they are panics at 59 places.
#[test]
fn a_flipped_bit_is_no_panic() {
    let files = MemoryFiles::load(&fixture("llama"));
    let good = &files.0["tokenizer.json"];
    for place in 0..803 {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        let _ = used(&with_bytes(&files, bytes));
    }
}

/// The library takes it for granted that what begins a decoder ends it.
#[test]
fn a_file_cut_within_its_decoder_is_an_error() {
    let files = MemoryFiles::load(&fixture("llama"));
    let good = files.text("tokenizer.json");
    let decoder = good.find("\"decoder\"").expect("a decoder");
    let model = good[decoder..].find("\"model\"").expect("a model") + decoder;
    for end in decoder..=model {
        let message = used(&with_bytes(&files, &good.as_bytes()[..end])).expect_err("cut short");
        assert!(message.starts_with("tokenizer:"), "{message}");
    }
}

/// Every place in the library, in reach of a file, that panics, never ends or fills the memory: where the file is changed,
/// to what, and a part of the message. An empty part: the file is taken.
#[test]
fn what_the_library_takes_for_granted_is_checked() {
    let bpe = |change: fn(&mut Value)| ("bpe", change);
    let unigram = |change: fn(&mut Value)| ("unigram", change);
    let word_piece = |change: fn(&mut Value)| ("wordpiece", change);
    let added = |content: &str, lstrip: bool, rstrip: bool| {
        json!({ "id": 0, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": rstrip,
            "normalized": false, "special": true })
    };
    let marks = |t: &mut Value| t["added_tokens"] = json!([added("a", false, true), added(" ", true, false)]);
    let cases: Vec<(Planted, &str)> = vec![
        (bpe(|t| t["model"]["continuing_subword_prefix"] = json!("a long prefix")), "continuing_subword_prefix"),
        (bpe(|t| t["model"]["continuing_subword_prefix"] = json!("x".repeat(1000))), "length"),
        (bpe(|t| t["model"]["merges"] = json!([["a", "no such piece"]])), "no such piece"),
        (bpe(|t| t["model"]["merges"] = json!(["a b c"])), "two pieces"),
        (bpe(|t| t["model"]["vocab"]["a"] = json!(4_294_967_295u32)), "ids below"),
        (bpe(|t| t["model"]["vocab"]["a"] = json!(4_294_967_296u64)), "expected u32"),
        (bpe(|t| t["model"]["dropout"] = json!(1.5)), "ropout"),
        (bpe(|t| t["model"]["type"] = json!("\u{1b}[2J".repeat(1000))), "known: BPE"),
        (bpe(|t| t["pre_tokenizer"] = json!({ "type": "FixedLength", "length": 0 })), "length 0"),
        (bpe(|t| t["pre_tokenizer"] = sequence("pretokenizers", vec![byte_level(); 40])), "ByteLevel"),
        (bpe(|t| t["pre_tokenizer"] = split("x".repeat(100_000))), "pattern"),
        (bpe(|t| t["pre_tokenizer"] = split("(".repeat(8000))), "pre_tokenizer"),
        (bpe(|t| t["pre_tokenizer"] = split("(?:(?!c)a|(?!d)a)*b".into())), "too long on this text"),
        (bpe(|t| t["normalizer"] = replace("(?:(?!c)a|(?!d)a)*b", "")), "too long on this text"),
        (bpe(|t| t["normalizer"] = json!({ "type": "Prepend", "prepend": "" })), "nothing"),
        (
            bpe(|t| t["normalizer"] = sequence("normalizers", vec![replace("^", "x"), json!({ "type": "Lowercase" })])),
            "",
        ),
        (bpe(|t| t["normalizer"] = sequence("normalizers", vec![replace("", "x"), json!({ "type": "NFKC" })])), ""),
        (bpe(|t| t["normalizer"] = sequence("normalizers", vec![replace("(?=.)", "xx"); 40])), "too much text"),
        (bpe(|t| t["normalizer"] = replace("a", &"x".repeat(100_000))), "replacement"),
        (bpe(|t| t["normalizer"] = nested(20, "normalizers")), "depth"),
        (bpe(|t| t["normalizer"] = sequence("normalizers", vec![json!({ "type": "NFC" }); 1000])), "number"),
        (bpe(|t| t["normalizer"] = json!({ "type": "Bert" })), "normalizer"),
        (bpe(|t| t["decoder"] = json!({ "type": "Strip", "content": " ", "start": 1, "stop": 1 })), ""),
        (bpe(|t| t["decoder"] = json!({ "type": "Strip", "content": "x", "start": 0, "stop": 1_000_000_000 })), ""),
        (bpe(|t| t["decoder"] = json!({ "type": "Strip", "content": "x", "start": -1, "stop": 0 })), "decoder"),
        (bpe(|t| t["decoder"] = json!({ "type": "BPEDecoder", "suffix": "" })), ""),
        (
            bpe(|t| {
                t["decoder"] = json!({ "type": "CTC", "pad_token": "", "word_delimiter_token": "", "cleanup": true })
            }),
            "",
        ),
        (bpe(|t| t["decoder"] = json!({ "type": 7 })), "decoder"),
        (bpe(|t| t["decoder"] = json!("ByteLevel")), "decoder"),
        (bpe(|t| t["post_processor"] = template(json!([special_token("<s>")]), json!({}))), "define"),
        (bpe(|t| t["post_processor"] = template(json!([text_part("B")]), json!({}))), "second"),
        (bpe(|t| t["post_processor"] = template(json!(vec![text_part("A"); 1000]), json!({}))), "parts"),
        (
            bpe(|t| {
                let once = template(json!([text_part("A"), text_part("A"), text_part("A")]), json!({}));
                t["post_processor"] = sequence("processors", vec![once.clone(), once]);
            }),
            "several templates",
        ),
        (unigram(|t| t["model"]["unk_id"] = json!(1_000_000)), "unk_id"),
        (unigram(|t| t["model"]["unk_id"] = json!(-1)), "usize"),
        (unigram(|t| t["model"]["unk_id"] = Value::Null), "unk_id"),
        (unigram(|t| t["model"]["vocab"] = json!([])), "mpty"),
        (unigram(|t| t["model"]["vocab"][0][0] = json!("a".repeat(1_000_000))), "piece"),
        (unigram(|t| t["model"]["vocab"] = json!((1..400).map(|n| ("a".repeat(n), 0.0)).collect::<Vec<_>>())), "alike"),
        (unigram(|t| t["model"]["vocab"][0][0] = json!("")), ""),
        (unigram(|t| t["normalizer"]["normalizers"][0]["precompiled_charsmap"] = json!("")), "charsmap"),
        (unigram(|t| t["normalizer"]["normalizers"][0]["precompiled_charsmap"] = json!("AAAA\\")), "base64"),
        (unigram(|t| t["normalizer"]["normalizers"][0]["precompiled_charsmap"] = json!(7)), "charsmap"),
        (unigram(|t| t["normalizer"]["normalizers"][0] = charsmap(9_999, "A\0")), "charsmap"),
        (unigram(|t| t["normalizer"]["normalizers"][0] = charsmap(1, "é")), "charsmap"),
        (unigram(|t| t["normalizer"]["normalizers"][0] = charsmap(0, "\0")), ""),
        (word_piece(|t| t["model"]["max_input_chars_per_word"] = json!(u64::MAX)), "max_input_chars_per_word"),
        (word_piece(|t| t["model"]["unk_token"] = json!("nowhere")), "UNK"),
    ];
    let mut wrong = Vec::new();
    for (nth, ((kind, change), part)) in cases.into_iter().enumerate() {
        let mut tokenizer = model_of(kind);
        change(&mut tokenizer);
        match used(&KINDS.with(tokenizer)) {
            Ok(()) if part.is_empty() => {}
            Err(message) if !part.is_empty() && message.contains(part) => {
                assert!(message.len() < 1200 && !message.contains('\u{1b}'), "{message:?}");
            }
            other => wrong.push(format!("{kind}, case {nth}: `{part}` is expected, not {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut tokenizer = model_of("bpe");
    marks(&mut tokenizer);
    let message = used(&KINDS.with(tokenizer)).expect_err("overlapping tokens");
    assert!(message.contains("nothing but space"), "{message}");
}

fn sequence(list: &str, parts: Vec<Value>) -> Value {
    json!({ "type": "Sequence", list: parts })
}

/// Lists within lists.
fn nested(depth: usize, list: &str) -> Value {
    (0..depth).fold(json!({ "type": "NFC" }), |inner, _| sequence(list, vec![inner]))
}

fn replace(pattern: &str, content: &str) -> Value {
    json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": content })
}

fn split(pattern: String) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
}

fn byte_level() -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false })
}

fn template(single: Value, special_tokens: Value) -> Value {
    json!({ "type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special_tokens })
}

fn text_part(id: &str) -> Value {
    json!({ "Sequence": { "id": id, "type_id": 0 } })
}

fn special_token(id: &str) -> Value {
    json!({ "SpecialToken": { "id": id, "type_id": 0 } })
}

/// A generator with a fixed seed (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Puts something else at a random place of `value`.
fn mutate(random: &mut Random, value: &mut Value) {
    let deeper = random.below(6) > 0;
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let n = random.below(map.len());
            let inner = map.iter_mut().nth(n).expect("it is below the length").1;
            return mutate(random, inner);
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let n = random.below(list.len());
            return mutate(random, &mut list[n]);
        }
        _ => {}
    }
    *value = match (random.below(14), &*value) {
        (0, _) => Value::Null,
        (1, _) => json!(0),
        (2, _) => json!(u32::MAX),
        (3, _) => json!(-1),
        (4, _) => json!(""),
        (5, _) => json!(" "),
        (6, Value::String(text)) => json!(text.repeat(3)),
        (7, Value::String(text)) => json!(text.chars().rev().collect::<String>()),
        (8, Value::Bool(flag)) => json!(!flag),
        (9, Value::Array(list)) => json!([&list[..], &list[..]].concat()),
        (10, Value::Number(number)) => json!(number.as_f64().unwrap_or(0.0) as u64 ^ (1 << random.below(20))),
        (11, Value::String(text)) => json!(text.chars().skip(1).collect::<String>()),
        (12, _) => json!([]),
        _ => json!({}),
    };
}

/// Every kind of tokenizer with its parts, changed at random places, in structure and in bytes.
#[test]
fn mutated_tokenizers_do_not_panic() {
    let mut random = Random(0x5eed);
    for kind in KINDS.names() {
        let good = model_of(kind);
        assert_eq!(used(&KINDS.with(good.clone())), Ok(()), "{kind}");
        for _ in 0..600 {
            let mut tokenizer = good.clone();
            for _ in 0..=random.below(3) {
                // Most of a file is its vocabulary, but most of the checks are about the rest.
                let keys = ["normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "model"];
                let key = keys[random.below(keys.len())];
                mutate(&mut random, &mut tokenizer[key]);
            }
            let _ = used(&KINDS.with(tokenizer));
        }
        let bytes = good.to_string().into_bytes();
        for _ in 0..200 {
            let mut bytes = bytes.clone();
            let place = random.below(bytes.len());
            bytes[place] ^= 1 << random.below(8);
            let _ = used(&with_bytes(&KINDS.with(json!(null)), bytes));
        }
    }
}
