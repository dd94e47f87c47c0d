//! GGUF models that were converted from the fixtures: the same model as its folder.

use understory_model::chat::ChatTemplate;
use understory_model::config::{ModelConfig, Rope};
use understory_model::files::{FolderFiles, ModelFiles};
use understory_model::tokenizer::Tokenizer;
use understory_model::weights::{LayerSlot, ModelWeights, Slot, StoredType};
use understory_model::{fingerprints, gguf};
use understory_protocol::Error;

use super::gguf_models::convert::converted;
use super::gguf_models::writer::{Meta, Writer};
use super::{MemoryFiles, fixture, model_folders};

/// Frequencies that were divided after they were rounded have another last bit.
fn near(a: &[Rope], b: &[Rope]) -> bool {
    let pairs = a.iter().flat_map(|rope| &rope.inv_freq).zip(b.iter().flat_map(|rope| &rope.inv_freq));
    let dims = |ropes: &[Rope]| ropes.iter().map(|rope| rope.rotary_dim).collect::<Vec<_>>();
    dims(a) == dims(b) && pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-6 * a)
}

/// A rope base left out fails this, as do a window of all layers, q and k left as they are, v permuted too, gate and up
/// exchanged, and a dimension count taken for a share.
#[test]
fn a_converted_model_is_the_same_model() {
    for folder in model_folders(false) {
        let original = FolderFiles::open(&folder).unwrap();
        let config = ModelConfig::from_files(&original).unwrap();
        let weights = ModelWeights::open(&original, &config).unwrap();
        for half in [true, false] {
            let files = MemoryFiles::gguf(converted(&folder, half).bytes());
            let read = ModelConfig::from_files(&files).unwrap();
            assert!(near(&read.ropes, &config.ropes), "{folder:?}");
            assert!(!read.norm.unit_offset);
            let mut same = read.clone();
            (same.norm.unit_offset, same.ropes) = (config.norm.unit_offset, config.ropes.clone());
            assert_eq!(same, config, "{folder:?}");

            let stored = ModelWeights::open(&files, &read).unwrap();
            assert_eq!(stored.slots(), weights.slots());
            for slot in weights.slots() {
                let [rows, columns] = weights.shape(slot).unwrap();
                assert_eq!(stored.shape(slot), Some([rows, columns]));
                let (mut given, mut expected) = (Vec::new(), Vec::new());
                stored.read_rows(slot, 0..rows, &mut given).unwrap();
                weights.read_rows(slot, 0..rows, &mut expected).unwrap();
                let is_norm = match slot {
                    Slot::FinalNorm => true,
                    Slot::Layer(_, slot) => format!("{slot:?}").ends_with("Norm"),
                    _ => false,
                };
                if is_norm && config.norm.unit_offset {
                    expected.iter_mut().for_each(|value| *value += 1.0);
                }
                assert_eq!(given, expected, "{folder:?} {slot:?}");
                // Any rows alone, from within a head.
                let some = rows / 3..(rows / 3 + 7).min(rows);
                stored.read_rows(slot, some.clone(), &mut given).unwrap();
                assert_eq!(given, expected[some.start * columns..some.end * columns], "{folder:?} {slot:?}");
                check_stored(&stored, slot, columns, &expected);
            }
            assert_eq!(stored.is_tied(), weights.is_tied());
        }
    }
}

/// The stored bytes of each part, read in two pieces, are those of the values.
fn check_stored(weights: &ModelWeights, slot: Slot, columns: usize, expected: &[f32]) {
    let parts = weights.stored_parts(slot);
    let width = if weights.shape(slot).unwrap()[0] == 1 { 1 } else { columns };
    assert_eq!(parts.last().unwrap().0.end * width, expected.len(), "{slot:?}");
    for (rows, stored) in parts {
        let middle = rows.start + rows.len() / 3;
        let (mut bytes, mut rest) = (Vec::new(), Vec::new());
        weights.read_stored_rows(slot, rows.start..middle, &mut bytes).unwrap();
        weights.read_stored_rows(slot, middle..rows.end, &mut rest).unwrap();
        bytes.extend(rest);
        let values = &expected[rows.start * width..rows.end * width];
        let expected: Vec<u8> = match stored {
            StoredType::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            StoredType::F16 => values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes, expected, "{slot:?}");
    }
}

/// What safetensors files store by head or transposed has the slot's order as bytes too.
#[test]
fn stored_rows_of_safetensors_are_in_the_slots_order() {
    for folder in model_folders(false) {
        let files = FolderFiles::open(&folder).unwrap();
        let config = ModelConfig::from_files(&files).unwrap();
        let weights = ModelWeights::open(&files, &config).unwrap();
        for slot in weights.slots() {
            let [rows, columns] = weights.shape(slot).unwrap();
            let mut expected = Vec::new();
            weights.read_rows(slot, 0..rows, &mut expected).unwrap();
            check_stored(&weights, slot, columns, &expected);
        }
    }
}

/// Block types within one slot; and a permuted tensor of blocks gives the rows that its values have.
#[test]
fn blocks_stay_whole_when_rows_are_put_back() {
    let mut writer = converted(&fixture("llama"), false);
    let mut blocks = |name: &str, number: u32, block: usize| {
        let tensor = writer.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        let n: u64 = tensor.shape.iter().product();
        tensor.number = number;
        tensor.bytes = (0..n as usize / 32 * block).map(|i| (i * 37 % 101) as u8).collect();
        tensor.bytes.chunks_exact_mut(block).for_each(|block| block[1] = 0x2c);
    };
    blocks("blk.1.attn_q.weight", 2, 18);
    blocks("blk.1.attn_v.weight", 8, 34);
    let files = MemoryFiles::gguf(writer.bytes());
    let config = ModelConfig::from_files(&files).unwrap();
    let weights = ModelWeights::open(&files, &config).unwrap();
    let slot = Slot::Layer(1, LayerSlot::Qkv);
    let parts = weights.stored_parts(slot);
    let names: Vec<&str> = parts.iter().map(|(_, stored)| stored.name()).collect();
    assert_eq!(names, ["Q4_0", "F32", "Q8_0"]);
    for (rows, stored) in parts {
        let (mut bytes, mut values, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        weights.read_stored_rows(slot, rows.clone(), &mut bytes).unwrap();
        weights.read_rows(slot, rows, &mut expected).unwrap();
        if let StoredType::Blocks(block) = stored {
            block.dequantise(&bytes, &mut values);
            assert_eq!(values, expected);
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }
    // Row 1 of q is the third row in the file: pairs of the first half lie two apart.
    let stored = &writer.tensors.iter().find(|tensor| tensor.name == "blk.1.attn_q.weight").unwrap().bytes;
    let (mut row, len) = (Vec::new(), 64 / 32 * 18);
    weights.read_stored_rows(slot, 1..2, &mut row).unwrap();
    assert_eq!(row, stored[2 * len..3 * len]);
}

#[test]
fn a_converted_tokenizer_gives_the_same_ids() {
    for folder in model_folders(false) {
        let files = MemoryFiles::gguf(converted(&folder, true).bytes());
        let config = ModelConfig::from_files(&files).unwrap();
        let tokenizer = Tokenizer::from_files(&files, &config).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&MemoryFiles::load(&folder).text("golden.json")).unwrap();
        for case in golden["prompts"].as_array().unwrap().iter().chain([&golden["nll"]]) {
            let ids: Vec<u32> = serde_json::from_value(case["token_ids"].clone()).unwrap();
            let text = case["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text, true).unwrap(), ids, "{folder:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text.replace("<|endoftext|>", ""));
        }
    }
}

/// Version 2 and a larger alignment; three files, opened by the name of any.
#[test]
fn versions_alignments_and_split_files() {
    let whole = converted(&fixture("qwen2"), true);
    let read = |files: &dyn ModelFiles| {
        let config = ModelConfig::from_files(files).unwrap();
        let weights = ModelWeights::open(files, &config).unwrap();
        let mut values = Vec::new();
        weights.read_rows(Slot::Layer(1, LayerSlot::MlpDown), 0..9, &mut values).unwrap();
        (config, values)
    };
    let expected = read(&MemoryFiles::gguf(whole.bytes()));
    let mut other = Writer { version: 2, alignment: 4096, ..whole.clone() };
    other.set("general.alignment", Meta::U32(4096));
    assert_eq!(read(&MemoryFiles::gguf(other.bytes())), expected);

    let folder = tempfile::tempdir().unwrap();
    let n = whole.tensors.len();
    for (number, tensors) in whole.tensors.chunks(n.div_ceil(3)).enumerate() {
        let mut part = Writer { tensors: tensors.to_vec(), ..Writer::default() };
        if number == 0 {
            part.metadata = whole.metadata.clone();
        }
        part.set("split.no", Meta::U32(number as u32));
        part.set("split.count", Meta::U32(3));
        part.set("split.tensors.count", Meta::U32(n as u32));
        std::fs::write(folder.path().join(format!("m-0000{}-of-00003.gguf", number + 1)), part.bytes()).unwrap();
    }
    for name in ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf", ""] {
        let files = FolderFiles::open(folder.path().join(name)).unwrap();
        assert_eq!(read(&files), expected);
        assert_eq!(files.name(), "m");
        assert_eq!(fingerprints::weights(&files).unwrap().unwrap().len(), 64);
    }
    // A part that is another's, one too many tensors, a part that is not there.
    let first = folder.path().join("m-00001-of-00003.gguf");
    let second = folder.path().join("m-00002-of-00003.gguf");
    let bytes = std::fs::read(&second).unwrap();
    std::fs::copy(&first, &second).unwrap();
    let error = ModelConfig::from_files(&FolderFiles::open(&first).unwrap()).unwrap_err().to_string();
    assert!(error.contains("m-00002-of-00003.gguf") && error.contains("split.no"), "{error}");
    std::fs::write(&second, bytes).unwrap();
    std::fs::remove_file(folder.path().join("m-00003-of-00003.gguf")).unwrap();
    assert!(
        matches!(FolderFiles::open(&first), Err(Error::NotAModel { missing, .. }) if missing.starts_with("m-00003"))
    );
    assert_eq!(gguf::model_name("m-00003-of-00003.gguf"), "m");
}

/// A folder is one model: safetensors before GGUF, and of GGUF only one; a projector for images is none.
#[test]
fn a_folder_with_gguf_files() {
    let gguf = converted(&fixture("llama"), true).bytes();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| std::fs::write(folder.path().join(name), &gguf).unwrap();
    write("mmproj-model.gguf");
    assert!(matches!(FolderFiles::open(folder.path()), Err(Error::NotAModel { .. })));
    write("b.gguf");
    assert_eq!(FolderFiles::open(folder.path()).unwrap().gguf().as_deref(), Some("b.gguf"));
    write("a.gguf");
    match FolderFiles::open(folder.path()) {
        Err(Error::SeveralModels { found, .. }) => assert_eq!(found, ["a.gguf", "b.gguf"]),
        other => panic!("{:?}", other.err()),
    }
    let one = FolderFiles::open(folder.path().join("a.gguf")).unwrap();
    assert_eq!((one.gguf().as_deref(), one.name().as_str()), (Some("a.gguf"), "a"));
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(fixture("llama").join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(FolderFiles::open(folder.path()).unwrap().gguf(), None);
}

/// Named templates count only where there is no other; special tokens are known by their names.
#[test]
fn chat_templates_and_special_tokens() {
    let mut writer = converted(&fixture("llama"), true);
    let render = |writer: &Writer| {
        let files = MemoryFiles::gguf(writer.bytes());
        let template = ChatTemplate::from_files(&files)?;
        let conversation = understory_model::chat::Conversation::from_messages(&[], true)?;
        template.map(|template| template.render(&conversation, &|| false)).transpose()
    };
    assert_eq!(render(&writer).unwrap(), None);
    writer.set("tokenizer.chat_template.rag", Meta::Text("rag".into()));
    writer.set("tokenizer.chat_template.tool_use", Meta::Text("tools".into()));
    assert!(matches!(render(&writer), Err(Error::ChatTemplate { .. })));
    writer.set("tokenizer.chat_template", Meta::Text("{{ bos_token }}!{{ pad_token }}".into()));
    writer.set("tokenizer.ggml.padding_token_id", Meta::U32(20));
    let files = MemoryFiles::gguf(writer.bytes());
    let tokenizer = Tokenizer::from_files(&files, &ModelConfig::from_files(&files).unwrap()).unwrap();
    let expected = format!("<|endoftext|>!{}", tokenizer.token_text(20).unwrap());
    assert_eq!(render(&writer).unwrap(), Some(expected));
}

/// SentencePiece's kind: `ab` merges `▁` and `a` first, by their score; what has no token is spelled in bytes; a begin token
/// and a space before the text unless the file says otherwise. Merging by length, or from the left, fails this.
#[test]
fn a_tokenizer_by_scores() {
    let mut writer = converted(&fixture("llama"), true);
    let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 6, 0.0));
    let special = [("<unk>", 2, 0.0), ("<s>", 3, 0.0), ("</s>", 3, 0.0)];
    let pieces = [("\u{2581}", -10.0), ("a", -11.0), ("b", -12.0), ("\u{2581}a", -1.0), ("ab", -2.0), ("bb", -3.0)];
    let named = special.into_iter().chain(pieces.into_iter().map(|(text, score)| (text, 1, score)));
    let named = named.map(|(text, kind, score)| (text.to_owned(), kind, score));
    let all: Vec<(String, i32, f32)> = named.chain(bytes).collect();
    let id = |text: &str| all.iter().position(|(known, ..)| known == text).unwrap() as u32;
    writer.set("tokenizer.ggml.model", Meta::Text("llama".into()));
    writer.set("tokenizer.ggml.tokens", Meta::Texts(all.iter().map(|(text, ..)| text.clone()).collect()));
    writer.set("tokenizer.ggml.token_type", Meta::I32s(all.iter().map(|(_, kind, _)| *kind).collect()));
    writer.set("tokenizer.ggml.scores", Meta::F32s(all.iter().map(|(.., score)| *score).collect()));
    writer.set("tokenizer.ggml.bos_token_id", Meta::U32(1));
    writer.set("tokenizer.ggml.eos_token_id", Meta::U32(2));
    let open = |writer: &Writer| {
        let files = MemoryFiles::gguf(writer.bytes());
        Tokenizer::from_files(&files, &ModelConfig::from_files(&files).unwrap()).unwrap()
    };
    let tokenizer = open(&writer);
    assert_eq!(tokenizer.encode("abb</s>", true).unwrap(), [1, id("\u{2581}a"), id("bb"), 2]);
    let ids = tokenizer.encode("a é", false).unwrap();
    assert_eq!(ids, [id("\u{2581}a"), id("\u{2581}"), id("<0xC3>"), id("<0xA9>")]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "a é");
    writer.set("tokenizer.ggml.add_space_prefix", Meta::Bool(false));
    writer.set("tokenizer.ggml.add_bos_token", Meta::Bool(false));
    writer.set("tokenizer.ggml.add_eos_token", Meta::Bool(true));
    let tokenizer = open(&writer);
    let ids = tokenizer.encode("abb a", true).unwrap();
    assert_eq!(ids, [id("ab"), id("b"), id("\u{2581}a"), 2]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "abb a");
}

/// Without a word of the file, texts begin with a begin token for Llama 3 alone.
#[test]
fn begin_tokens_by_default() {
    let begins = |pre: &str| {
        let mut writer = converted(&fixture("llama"), true);
        writer.set("tokenizer.ggml.pre", Meta::Text(pre.into()));
        let files = MemoryFiles::gguf(writer.bytes());
        let config = ModelConfig::from_files(&files).unwrap();
        Tokenizer::from_files(&files, &config).unwrap().encode("a", true).unwrap().len() == 2
    };
    assert!(begins("llama-bpe") && !begins("qwen2") && !begins("gpt-2") && !begins("default"));
}

/// The tokenizer's hash is of what describes the tokenizer, whatever the weights; that of the weights is of the file.
#[test]
fn fingerprints_of_gguf_models() {
    let of = |writer: &Writer| {
        let bytes = writer.bytes();
        let whole = fingerprints::file(&MemoryFiles::gguf(bytes.clone()), "model.gguf").unwrap();
        let files = MemoryFiles::gguf(bytes);
        assert_eq!(fingerprints::weights(&files).unwrap(), whole);
        (whole.unwrap(), fingerprints::tokenizer(&files).unwrap().unwrap())
    };
    let half = of(&converted(&fixture("llama"), true));
    let full = of(&converted(&fixture("llama"), false));
    let mut other = converted(&fixture("llama"), true);
    other.set("tokenizer.ggml.add_bos_token", Meta::Bool(true));
    let other = of(&other);
    assert!(half.0 != full.0 && half.1 == full.1);
    assert!(half.0 != other.0 && half.1 != other.1);
}
