//! GGUF files that are not what they should be: each is refused with the error that says why, and none takes the process
//! down.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use understory_model::chat::ChatTemplate;
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_model::inventory::Inventory;
use understory_model::tokenizer::Tokenizer;
use understory_model::weights::ModelWeights;
use understory_protocol::{Error, Result};

use super::gguf_models::convert::converted;
use super::gguf_models::writer::{Meta, Tensor, Writer};
use super::{MemoryFiles, fixture};

static GOOD: LazyLock<Writer> = LazyLock::new(|| converted(&fixture("llama"), true));

/// Everything that is made of a file.
fn open(files: &dyn ModelFiles) -> Result<()> {
    Inventory::read(files)?;
    let config = ModelConfig::from_files(files)?;
    let weights = ModelWeights::open(files, &config)?;
    for slot in weights.slots() {
        let [rows, _] = weights.shape(slot).unwrap();
        weights.read_rows(slot, rows / 2..rows.min(rows / 2 + 1), &mut Vec::new())?;
    }
    let tokenizer = Tokenizer::from_files(files, &config)?;
    if let Ok(ids) = tokenizer.encode("Once upon a \u{1f600}", true) {
        tokenizer.decode(&ids)?;
    }
    ChatTemplate::from_files(files).map(drop)
}

fn refused(bytes: Vec<u8>) -> String {
    open(&MemoryFiles::gguf(bytes)).expect_err("refused").to_string()
}

#[test]
fn a_file_cut_short_is_an_error_wherever_it_is_cut() {
    let (whole, header) = (GOOD.bytes(), GOOD.header().len());
    assert!(open(&MemoryFiles::gguf(whole.clone())).is_ok());
    let last = whole.len() - GOOD.tensors.last().unwrap().bytes.len() / 2;
    let within = (0..1500).chain((1500..header).step_by(41)).chain(header - 300..header + 40);
    for keep in within.chain([last, whole.len() - 64]) {
        match open(&MemoryFiles::gguf(whole[..keep].to_vec())) {
            Err(Error::Truncated { actual, .. }) => assert_eq!(actual, keep as u64),
            other => panic!("{keep} of {} bytes: {other:?}", whole.len()),
        }
    }
}

/// A change to a good file, and a part of the message.
#[test]
fn a_wrong_file_is_refused_by_what_is_wrong() {
    let set = |key: &str, value: Meta| {
        let mut writer = GOOD.clone();
        writer.set(key, value);
        writer.bytes()
    };
    let without = |key: &str| {
        let mut writer = GOOD.clone();
        writer.remove(key);
        writer.bytes()
    };
    let tensor = |change: &dyn Fn(&mut Tensor)| {
        let mut writer = GOOD.clone();
        change(writer.tensors.iter_mut().find(|tensor| tensor.name == "blk.0.ffn_down.weight").unwrap());
        writer.bytes()
    };
    let at = |place: usize, bytes: &[u8]| {
        let mut file = GOOD.bytes();
        file[place..place + bytes.len()].copy_from_slice(bytes);
        file
    };
    let text = |text: &str| Meta::Text(text.into());
    let huge_list = |kind: u32, count: u64| Meta::Raw(9, [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat());
    let nested: Vec<u8> = (0..9).flat_map(|_| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat()).collect();
    let mut twice = GOOD.clone();
    twice.metadata.push(twice.metadata[0].clone());
    let mut two_tensors = GOOD.clone();
    two_tensors.tensors.push(two_tensors.tensors[0].clone());
    let mut without_tensor = GOOD.clone();
    without_tensor.tensors.retain(|tensor| tensor.name != "blk.1.ffn_up.weight");
    // Where the first tensor's description ends: its offset.
    let name = &GOOD.tensors[1].name;
    let header = GOOD.header();
    let second = header.windows(name.len()).position(|window| window == name.as_bytes()).unwrap() + name.len();
    let offset = second + 4 + 8 * GOOD.tensors[1].shape.len() + 4;
    let cases = [
        (at(0, b"GGML"), "does not begin with `GGUF`"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec(), "Git LFS"),
        (at(4, &1u32.to_le_bytes()), "version 1; known: 2, 3"),
        (at(4, &3u32.to_be_bytes()), "big-endian"),
        (at(4, &77u32.to_le_bytes()), "version 77"),
        (at(8, &u64::MAX.to_le_bytes()), "tensors; at most"),
        (at(16, &u64::MAX.to_le_bytes()), "keys; at most"),
        (at(24, &u64::MAX.to_le_bytes()), "a key has"),
        (at(offset, &64u64.to_le_bytes()), "over another"),
        (at(offset, &7u64.to_le_bytes()), "no multiple of 32"),
        (at(offset, &(u64::MAX - 31).to_le_bytes()), "cut short"),
        (twice.bytes(), "twice"),
        (two_tensors.bytes(), "twice"),
        (set("a.list", huge_list(0, u64::MAX)), "cut short"),
        (set("a.list", huge_list(8, u64::MAX)), "a.list"),
        (set("a.list", huge_list(77, 3)), "type 77"),
        (set("a.list", Meta::Raw(9, nested)), "deep"),
        (set("a.value", Meta::Raw(13, vec![0; 8])), "type 13"),
        (set("general.alignment", Meta::U32(0)), "general.alignment"),
        (set("general.alignment", Meta::U32(48)), "general.alignment"),
        (tensor(&|tensor| tensor.shape = vec![1 << 63, 4]), "cannot have"),
        (tensor(&|tensor| tensor.shape = vec![1, 1, 1, 1, 1]), "5 dimensions"),
        (tensor(&|tensor| tensor.shape = vec![64, 159]), "has shape"),
        (tensor(&|tensor| (tensor.number, tensor.shape) = (2, vec![100, 33])), "Q4_0 cannot have"),
        (tensor(&|tensor| tensor.number = 16), "stored as IQ2_XXS; known: F32"),
        (tensor(&|tensor| tensor.number = 4000), "stored as type 4000"),
        (without_tensor.bytes(), "blk.1.ffn_up.weight` is missing"),
        (set("general.architecture", text("mamba")), "unknown architecture `mamba`; known: llama, qwen2"),
        (without("general.architecture"), "general.architecture"),
        (without("llama.block_count"), "llama.block_count"),
        (set("llama.embedding_length", Meta::U32(0)), "key `llama.embedding_length` is 0"),
        (set("llama.block_count", Meta::U32(u32::MAX)), "llama.block_count"),
        (set("llama.attention.head_count_kv", Meta::U32(3)), "llama.attention.head_count_kv"),
        (set("llama.attention.head_count_kv", Meta::I32s(vec![2, 4])), "differs from layer to layer"),
        (set("llama.attention.head_count_kv", Meta::I32s(vec![])), "differs from layer to layer"),
        (set("llama.attention.value_length", Meta::U32(8)), "value_length"),
        (set("llama.attention.layer_norm_rms_epsilon", Meta::F32(f32::NAN)), "layer_norm_rms_epsilon"),
        (set("llama.rope.dimension_count", Meta::U32(8)), "rope.dimension_count"),
        (set("llama.rope.dimension_count", Meta::U32(99)), "rope.dimension_count"),
        (set("llama.rope.scaling.type", text("yarn")), "`yarn`; known: none, linear"),
        (set("llama.expert_count", Meta::U32(8)), "llama.expert_count"),
        (set("tokenizer.ggml.model", text("t5")), "`t5`; known: gpt2, llama"),
        (set("tokenizer.ggml.pre", text("tekken")), "`tekken` is not known; known: default, gpt-2"),
        (without("tokenizer.ggml.merges"), "tokenizer.ggml.merges"),
        (without("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens"),
        (set("tokenizer.ggml.token_type", Meta::I32s(vec![1])), "lists 1 tokens"),
        (set("tokenizer.ggml.merges", Meta::Texts(vec!["a".into()])), "not two pieces"),
        (set("tokenizer.ggml.model", text("llama")), "tokenizer.ggml.scores"),
        (set("tokenizer.ggml.tokens", Meta::Bool(true)), "is no list"),
        (set("split.count", Meta::U32(3)), "split."),
    ];
    for (number, (bytes, part)) in cases.into_iter().enumerate() {
        let message = refused(bytes);
        assert!(message.contains(part), "{number}: {message}: {part}");
    }
}

/// What a file may say and this engine understands, though the fixtures do not say it.
#[test]
fn other_ways_to_say_the_same() {
    let read = |change: &dyn Fn(&mut Writer)| {
        let mut writer = GOOD.clone();
        change(&mut writer);
        ModelConfig::from_files(&MemoryFiles::gguf(writer.bytes())).unwrap()
    };
    let good = read(&|_| {});
    assert_eq!(read(&|writer| writer.set("llama.attention.head_count_kv", Meta::I32s(vec![2, 2]))), good);
    assert_eq!(read(&|writer| writer.remove("llama.rope.dimension_count")), good);
    assert_eq!(read(&|writer| writer.remove("llama.attention.key_length")), good);
    assert_eq!(read(&|writer| writer.set("llama.rope.scaling.type", Meta::Text("none".into()))), good);
    let halved = read(&|writer| {
        writer.set("llama.rope.scaling.type", Meta::Text("linear".into()));
        writer.set("llama.rope.scaling.factor", Meta::F32(2.0));
    });
    assert_eq!(halved.ropes[0].inv_freq[1], good.ropes[0].inv_freq[1] / 2.0);
    assert_eq!(read(&|writer| writer.set("llama.rope.scale_linear", Meta::F32(2.0))).ropes, halved.ropes);
    let ends = read(&|writer| {
        writer.set("tokenizer.ggml.eot_token_id", Meta::U32(7));
        writer.set("tokenizer.ggml.eom_token_id", Meta::U32(u32::MAX));
    });
    assert_eq!(ends.eos_token_ids, [0, 7]);

    let gemma = converted(&fixture("gemma3"), true);
    let windows = |key: &str, value: Option<Meta>| {
        let mut writer = gemma.clone();
        match value {
            Some(value) => writer.set(key, value),
            None => writer.remove(key),
        }
        let config = ModelConfig::from_files(&MemoryFiles::gguf(writer.bytes())).unwrap();
        config.layers.iter().map(|layer| layer.window.is_some()).collect::<Vec<_>>()
    };
    let pattern = "gemma3.attention.sliding_window_pattern";
    assert_eq!(windows("x", None), [true, true, true, true, true, false]);
    assert_eq!(windows(pattern, Some(Meta::U32(2))), [true, false, true, false, true, false]);
    let listed = [false, true, true, false, false, true];
    assert_eq!(windows(pattern, Some(Meta::Bools(listed.to_vec()))), listed);
    assert_eq!(windows("gemma3.attention.sliding_window", None), [false; 6]);
    assert_eq!(windows("gemma3.attention.sliding_window", Some(Meta::U32(0))), [false; 6]);
}

proptest! {
    /// Whatever bytes a header is made of, the answer is an error or a model.
    #[test]
    fn no_header_panics(places in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (mut bytes, header) = (GOOD.bytes(), GOOD.header().len());
        for (place, byte) in places {
            bytes[place.index(header)] = byte;
        }
        let _ = open(&MemoryFiles::gguf(bytes));
    }

    /// The same for values of keys of the right names.
    #[test]
    fn no_value_panics(
        key in any::<prop::sample::Index>(),
        kind in 0u32..14,
        value in vec(any::<u8>(), 0..40),
    ) {
        let mut writer = GOOD.clone();
        let nth = key.index(writer.metadata.len());
        writer.metadata[nth].1 = Meta::Raw(kind, value);
        let _ = open(&MemoryFiles::gguf(writer.bytes()));
    }
}
