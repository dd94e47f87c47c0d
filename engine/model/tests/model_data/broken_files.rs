//! Weights files that are not what they should be: each is refused with the error that says why.

use proptest::collection::vec;
use proptest::prelude::*;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use understory_model::config::ModelConfig;
use understory_model::files::{FolderFiles, ModelFiles};
use understory_model::tokenizer::Tokenizer;
use understory_model::weights::ModelWeights;
use understory_protocol::Error;

use super::weights::{Tensor, Tensors, WEIGHTS, file_of, tensors_of};
use super::{MemoryFiles, fixture};

fn open(files: &dyn ModelFiles) -> Option<Error> {
    let config = ModelConfig::from_files(files).unwrap();
    ModelWeights::open(files, &config).err()
}

/// Where the header of a weights file ends.
fn header_end(bytes: &[u8]) -> usize {
    8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
}

/// The file with its header rewritten.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (header, data) = bytes.split_at(header_end(bytes));
    let mut header: Value = serde_json::from_slice(&header[8..]).unwrap();
    change(&mut header);
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

fn with_tensors(files: &MemoryFiles, change: impl FnOnce(&mut Tensors)) -> MemoryFiles {
    let mut tensors = tensors_of(files);
    change(&mut tensors);
    files.clone().with(WEIGHTS, file_of(&tensors, Dtype::F16))
}

#[test]
fn a_file_cut_short_is_truncated() {
    let files = MemoryFiles::load(&fixture("llama"));
    assert!(open(&files).is_none());
    let whole = &files.0[WEIGHTS];
    let full = whole.len() as u64;
    let header_end = header_end(whole) as u64;
    for (keep, promised) in
        [(0, 8), (7, 8), (8, header_end), (1000, header_end), (header_end, full), (full / 2, full), (full - 1, full)]
    {
        let cut = files.clone().with(WEIGHTS, &whole[..keep as usize]);
        let folder = cut.to_folder();
        for files in [&cut as &dyn ModelFiles, &FolderFiles::open(folder.path()).unwrap()] {
            match open(files) {
                Some(Error::Truncated { expected, actual, file }) => {
                    assert_eq!((file.as_str(), expected, actual), (WEIGHTS, promised, keep));
                }
                other => panic!("{keep} bytes: {other:?}"),
            }
        }
    }
}

/// What stands where an object belongs is told in the file's terms. An error that names this program's types fails this.
#[test]
fn a_value_of_the_wrong_kind_is_told_in_the_files_terms() {
    let files = MemoryFiles::load(&fixture("llama"));
    let mut tokenizer: Value = serde_json::from_slice(&files.0["tokenizer.json"]).unwrap();
    tokenizer["added_tokens"] = json!([7]);
    let header = with_header(&files.0[WEIGHTS], |header| header["model.norm.weight"] = json!(7));
    for (name, bytes) in [
        ("tokenizer.json", b"7".to_vec()),
        ("tokenizer.json", tokenizer.to_string().into_bytes()),
        ("tokenizer_config.json", json!({ "added_tokens_decoder": { "0": 7 } }).to_string().into_bytes()),
        ("model.safetensors.index.json", b"7".to_vec()),
        (WEIGHTS, header),
    ] {
        let mut files = files.clone();
        if name.ends_with("index.json") {
            files.0.remove(WEIGHTS);
        }
        let files = files.with(name, bytes);
        let config = ModelConfig::from_files(&files).unwrap();
        let read = Tokenizer::from_files(&files, &config).and_then(|_| ModelWeights::open(&files, &config).map(drop));
        let message = read.unwrap_err().to_string();
        assert!(message.contains("expected an object") && !message.contains("struct"), "{name}: {message}");
    }
}

/// A file that another program shortens while it is in use. A map of the file passes as long as nothing shortens it
/// between the look at its size and the read, and then ends the process.
#[test]
fn a_file_cut_short_after_it_was_opened_is_truncated() {
    for fixture_name in ["llama", "gpt2", "gpt-neox"] {
        let folder = MemoryFiles::load(&fixture(fixture_name)).to_folder();
        let files = FolderFiles::open(folder.path()).unwrap();
        let config = ModelConfig::from_files(&files).unwrap();
        let weights = ModelWeights::open(&files, &config).unwrap();
        let path = folder.path().join(WEIGHTS);
        let full = std::fs::metadata(&path).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(full / 2).unwrap();
        let read = |slot| {
            let [rows, _] = weights.shape(slot).unwrap();
            weights.read_rows(slot, 0..rows, &mut Vec::new())
        };
        let outcomes: Vec<_> = weights.slots().into_iter().map(read).collect();
        let truncated = |outcome: &Result<(), Error>| match outcome {
            Ok(()) => false,
            Err(Error::Truncated { file, expected, actual }) => {
                file == WEIGHTS && *expected <= full && *actual == full / 2
            }
            Err(other) => panic!("{fixture_name}: {other:?}"),
        };
        let lost = outcomes.iter().filter(|outcome| truncated(outcome)).count();
        assert!(0 < lost && lost < outcomes.len(), "{fixture_name}: {lost} of {}", outcomes.len());
    }
}

/// Each change to a good file's header, and a part of the message.
#[test]
fn a_wrong_header_is_refused() {
    const Q: &str = "model.layers.0.self_attn.q_proj.weight";
    let files = MemoryFiles::load(&fixture("llama"));
    let good = &files.0[WEIGHTS];
    let header = |change: fn(&mut Value)| with_header(good, change);
    let length = |length: u64| [&length.to_le_bytes()[..], &good[8..]].concat();
    let cases = [
        (length(u64::MAX), "too long"),
        (length(100), "not JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec(), "Git LFS"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>".to_vec(), "too long"),
        ([&good[..], b"more"].concat(), "4 bytes after"),
        (header(|h| h[Q]["data_offsets"] = json!([0, 8192])), "begin at"),
        (header(|h| h[Q]["data_offsets"][1] = json!(u64::MAX)), "another size"),
        (header(|h| h[Q]["data_offsets"] = json!([-1, 8])), Q),
        (header(|h| h[Q]["shape"] = json!([64, 65])), "another size"),
        (header(|h| h[Q]["shape"] = json!([u64::MAX, u64::MAX])), "another size"),
        (header(|h| h[Q] = json!("nothing")), Q),
        (header(|h| drop(h.as_object_mut().unwrap().remove(Q))), "begin at"),
    ];
    for (bytes, part) in cases {
        match open(&files.clone().with(WEIGHTS, bytes)) {
            Some(Error::BadFile { file, reason }) if file == WEIGHTS => {
                assert!(reason.contains(part), "{reason}: {part}")
            }
            other => panic!("{part}: {other:?}"),
        }
    }
}

proptest! {
    /// Whatever bytes a header is made of, the answer is an error or the tensors it lists.
    #[test]
    fn no_header_panics(places in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let files = MemoryFiles::load(&fixture("qwen2"));
        let mut bytes = files.0[WEIGHTS].clone();
        let header = header_end(&bytes);
        for (place, byte) in places {
            bytes[place.index(header)] = byte;
        }
        let files = files.with(WEIGHTS, bytes);
        let config = ModelConfig::from_files(&files).unwrap();
        if let Ok(weights) = ModelWeights::open(&files, &config) {
            for slot in weights.slots() {
                weights.read_rows(slot, 0..1, &mut Vec::new()).unwrap();
            }
        }
    }
}

#[test]
fn a_missing_tensor_is_named() {
    for (fixture_name, tensor) in [
        ("llama", "model.layers.1.self_attn.k_proj.weight"),
        ("llama", "model.embed_tokens.weight"),
        ("llama", "lm_head.weight"),
        ("gpt2", "transformer.h.0.attn.c_attn.bias"),
        ("gpt2", "transformer.wpe.weight"),
        ("gpt-neox", "embed_out.weight"),
        ("qwen2", "model.layers.0.self_attn.v_proj.bias"),
        ("qwen3", "model.layers.0.self_attn.q_norm.weight"),
        ("gemma3", "model.layers.3.post_feedforward_layernorm.weight"),
    ] {
        let files = MemoryFiles::load(&fixture(fixture_name));
        match open(&with_tensors(&files, |tensors| drop(tensors.remove(tensor).unwrap()))) {
            Some(Error::MissingTensor { name, .. }) => assert_eq!(name, tensor, "{fixture_name}"),
            other => panic!("{fixture_name} without {tensor}: {other:?}"),
        }
    }
}

#[test]
fn a_wrong_shape_is_named() {
    // The last is the transpose: as many elements, another order.
    for (fixture_name, tensor, actual, expected) in [
        ("llama", "model.norm.weight", vec![65], vec![64]),
        ("llama", "model.norm.weight", vec![1, 64], vec![64]),
        ("llama", "model.embed_tokens.weight", vec![511, 64], vec![512, 64]),
        ("qwen2", "model.layers.0.self_attn.q_proj.bias", vec![32], vec![64]),
        ("gpt2", "transformer.h.0.attn.c_attn.weight", vec![192, 64], vec![64, 192]),
    ] {
        let files = MemoryFiles::load(&fixture(fixture_name));
        let reshaped = Tensor { values: vec![0.5; actual.iter().product()], shape: actual.clone() };
        match open(&with_tensors(&files, |tensors| drop(tensors.insert(tensor.into(), reshaped)))) {
            Some(Error::WrongShape { name, expected: wanted, actual: found }) => {
                assert_eq!((name.as_str(), wanted, found), (tensor, expected, actual));
            }
            other => panic!("{tensor} of {actual:?}: {other:?}"),
        }
    }
}

/// A needed tensor must be of a type that we read; the others may be anything.
#[test]
fn an_unknown_dtype_is_named() {
    let files = MemoryFiles::load(&fixture("llama"));
    let retyped = |name: &'static str, dtype: &'static str| {
        files.clone().with(WEIGHTS, with_header(&files.0[WEIGHTS], |header| header[name]["dtype"] = json!(dtype)))
    };
    for unknown in ["I64", "I16", "F8_E4M3", "float16"] {
        match open(&retyped("model.embed_tokens.weight", unknown)) {
            Some(Error::UnknownDtype { dtype, .. }) => assert_eq!(dtype, unknown),
            other => panic!("{unknown}: {other:?}"),
        }
    }
    let buffer = with_tensors(&files, |tensors| {
        tensors.insert("model.layers.0.mask".into(), Tensor { shape: vec![4], values: vec![0.0; 4] });
    });
    let buffer = with_header(&buffer.0[WEIGHTS], |header| {
        header["model.layers.0.mask"]["dtype"] = json!("U8");
        header["model.layers.0.mask"]["shape"] = json!([8]);
    });
    assert!(open(&files.with(WEIGHTS, buffer)).is_none());
}

#[test]
fn an_index_is_checked() {
    const INDEX: &str = "model.safetensors.index.json";
    let files = MemoryFiles::load(&fixture("llama3.2"));
    assert!(open(&files).is_none());
    for (index, part) in [
        ("{}", "weight_map"),
        (r#"{ "weight_map": { "a": "../secret.safetensors" } }"#, "../secret"),
        (r#"{ "weight_map": { "a": "C:\\secret" } }"#, "secret"),
        (r#"{ "weight_map": { "a": "/secret" } }"#, "secret"),
    ] {
        let message = open(&files.clone().with(INDEX, index)).unwrap().to_string();
        assert!(message.contains(part), "{message}");
    }
    // A folder below the model's own is inside it.
    let shard = |n: u8| format!("model-0000{n}-of-00002.safetensors");
    let (mut below, mut index) = (files.clone(), String::from_utf8(files.0[INDEX].clone()).unwrap());
    for n in [1, 2] {
        index = index.replace(&shard(n), &format!("sub/{}", shard(n)));
        below = below.without(&shard(n)).with(&format!("sub/{}", shard(n)), files.0[&shard(n)].clone());
    }
    assert!(open(&below.with(INDEX, index)).is_none());
    let missing = open(&files.clone().without("model-00002-of-00002.safetensors"));
    assert!(matches!(missing, Some(Error::NotAModel { missing, .. }) if missing.starts_with("model-00002")));
    assert!(matches!(open(&files.without(INDEX)), Some(Error::NotAModel { .. })));
}
