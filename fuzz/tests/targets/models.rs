//! Files of a model, and what a hub says of them.

use std::path::Path;

use understory_fuzz::{Target, fuzz};
use understory_model::chat::ChatTemplate;
use understory_model::config::ModelConfig;
use understory_model::files::{FileBytes, ModelFiles};
use understory_model::gguf::is_gguf;
use understory_model::inventory::Inventory;
use understory_model::repository::{Listing, shards};
use understory_model::tokenizer::Tokenizer;
use understory_model::weights::ModelWeights;
use understory_protocol::{Error, Result};

use crate::gguf_models::convert::converted;
use crate::gguf_models::writer::{Meta, Writer};
use crate::{FOLDER, corpus};

/// One damaged file beside good ones; or a GGUF file alone.
struct Files<'a>(Vec<(&'a str, &'a [u8])>);

impl Files<'_> {
    fn find(&self, file: &str) -> Option<&[u8]> {
        self.0.iter().find(|(name, _)| *name == file).map(|(_, bytes)| *bytes)
    }
}

impl ModelFiles for Files<'_> {
    fn name(&self) -> String {
        "fuzzed".into()
    }

    fn gguf(&self) -> Option<String> {
        self.0.iter().map(|(name, _)| (*name).to_owned()).find(|name| is_gguf(name))
    }

    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>> {
        Ok(self.find(file).map(FileBytes::Borrowed))
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.find(file).map(|bytes| bytes.len() as u64))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        let bytes = self.find(file).ok_or(Error::NothingLoaded)?;
        let truncated = || Error::Truncated { file: file.into(), expected: offset, actual: bytes.len() as u64 };
        let end = offset.checked_add(len).filter(|end| *end <= bytes.len() as u64).ok_or_else(truncated)?;
        Ok(FileBytes::Borrowed(&bytes[offset as usize..end as usize]))
    }
}

#[test]
fn config() {
    fn read(bytes: &[u8]) {
        let files = Files(vec![("config.json", bytes)]);
        let _ = ModelConfig::from_files(&files);
        let good = include_bytes!("../../../fixtures/llama/config.json");
        let _ = ModelConfig::from_files(&Files(vec![("config.json", good), ("generation_config.json", bytes)]));
    }
    let mut corpus = [corpus::fixtures("config.json"), corpus::fixtures("generation_config.json")].concat();
    corpus.extend(corpus::own("config"));
    let words = &["null", "true", "\"rope_scaling\"", "{", "[", "1e999", "\"default\"", "\"llama3\"", "\"yarn\""];
    fuzz(&Target { name: "config", corpus, words, read }, Path::new(FOLDER));
}

#[test]
fn tokenizer() {
    fn read(bytes: &[u8]) {
        let config = include_str!("../../../fixtures/llama/config.json");
        let config = ModelConfig::from_json(config, None).expect("a good one");
        let Ok(tokenizer) = Tokenizer::from_files(&Files(vec![("tokenizer.json", bytes)]), &config) else { return };
        for text in ["", "The old king said", " \n\t", "\u{e9}\u{1f600}\u{fb01}", "<|endoftext|>a<|im_start|>"] {
            if let Ok(ids) = tokenizer.encode(text, true) {
                let _ = tokenizer.decode(&ids);
            }
        }
        let _ = tokenizer.decode(&[0, 1, 300, 511, u32::MAX]);
    }
    let mut corpus = vec![corpus::file("fixtures/llama/tokenizer.json")];
    corpus.extend(corpus::own("tokenizer"));
    let words =
        &["null", "true", "\"type\"", "\"Precompiled\"", "\"Strip\"", "\"Replace\"", "\"WordPiece\"", "\u{1f600}"];
    fuzz(&Target { name: "tokenizer", corpus, words, read }, Path::new(FOLDER));
}

#[test]
fn safetensors() {
    fn read(bytes: &[u8]) {
        let config = include_str!("../../../fixtures/llama/config.json");
        let config = ModelConfig::from_json(config, None).expect("a good one");
        let files = Files(vec![("model.safetensors", bytes)]);
        let Ok(weights) = ModelWeights::open(&files, &config) else { return };
        let mut values = Vec::new();
        for slot in weights.slots() {
            let Some([rows, _]) = weights.shape(slot) else { continue };
            values.clear();
            let _ = weights.read_rows(slot, 0..rows.min(4), &mut values);
        }
    }
    let mut corpus = vec![corpus::file("fixtures/llama/model.safetensors")];
    // The header alone, so that damage falls there.
    let header = 8 + u64::from_le_bytes(corpus[0][..8].try_into().expect("eight bytes")) as usize;
    corpus.push(corpus[0][..header].to_vec());
    corpus.extend(corpus::own("safetensors"));
    let words = &["\"F32\"", "\"BF16\"", "\"I64\"", "\"shape\":[]", "null", "{", "\"data_offsets\":[0,0]"];
    fuzz(&Target { name: "safetensors", corpus, words, read }, Path::new(FOLDER));
}

#[test]
fn gguf() {
    fn read(bytes: &[u8]) {
        let files = Files(vec![("model.gguf", bytes)]);
        let _ = Inventory::read(&files);
        let _ = ChatTemplate::from_files(&files);
        let Ok(config) = ModelConfig::from_files(&files) else { return };
        if let Ok(tokenizer) = Tokenizer::from_files(&files, &config)
            && let Ok(ids) = tokenizer.encode("The old king \u{1f600}\u{fb01}<|endoftext|>", true)
        {
            let _ = tokenizer.decode(&ids);
        }
        let Ok(weights) = ModelWeights::open(&files, &config) else { return };
        let (mut values, mut stored) = (Vec::new(), Vec::new());
        for slot in weights.slots() {
            let Some([rows, _]) = weights.shape(slot) else { continue };
            let _ = weights.read_rows(slot, 0..rows.min(4), &mut values);
            for (rows, _) in weights.stored_parts(slot) {
                let _ = weights.read_stored_rows(slot, rows.start..rows.end.min(rows.start + 3), &mut stored);
            }
        }
    }
    let fixture = |name: &str| converted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name), true);
    let mut corpus = vec![fixture("llama").bytes(), fixture("gemma3").header(), by_scores(fixture("gpt2")).bytes()];
    corpus.extend(corpus::own("gguf"));
    let words =
        &["GGUF", "general.alignment", "gemma3", "llama", "gpt2", "tokenizer.ggml.pre", "split.count", "\t\0\0\0"];
    fuzz(&Target { name: "gguf", corpus, words, read }, Path::new(FOLDER));
}

/// With a vocabulary of SentencePiece's kind.
fn by_scores(mut writer: Writer) -> Writer {
    let texts = ["<unk>", "<s>", "</s>", "<0xE2>", "\u{2581}", "a", "\u{2581}a", "aa", "T"].map(String::from).to_vec();
    writer.set("tokenizer.ggml.model", Meta::Text("llama".into()));
    writer.set("tokenizer.ggml.scores", Meta::F32s((0..texts.len()).map(|nth| -(nth as f32)).collect()));
    writer.set("tokenizer.ggml.token_type", Meta::I32s(vec![2, 3, 3, 6, 1, 1, 1, 1, 1]));
    writer.set("tokenizer.ggml.tokens", Meta::Texts(texts));
    writer
}

#[test]
fn listing() {
    fn read(bytes: &[u8]) {
        let _ = shards(bytes);
        if let Ok(listing) = Listing::parse(&String::from_utf8_lossy(bytes)) {
            let _ = listing.model_files(None);
        }
    }
    let mut corpus = vec![corpus::file("fixtures/llama3.2/model.safetensors.index.json")];
    corpus.extend(corpus::own("listing"));
    let words = &["../", "/", "\\\\", "\"rfilename\"", "\"lfs\"", "null", "\"weight_map\"", "{"];
    fuzz(&Target { name: "listing", corpus, words, read }, Path::new(FOLDER));
}
