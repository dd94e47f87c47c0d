//! A model's files as data: configurations, weights, tokens and chat templates. Golden values come from
//! `transformers` (`fixtures/*/golden.json` and the constants named so).

mod broken_files;
mod chat;
mod config;
mod declared_tokens;
mod gguf_files;
mod hostile_gguf;
mod hostile_tokenizers;
mod pair;
mod quantised;
mod real_gguf;
mod tokenizer_kinds;
mod tokens;
mod weights;

#[path = "../gguf_models/mod.rs"]
mod gguf_models;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use understory_model::files::{FileBytes, FolderFiles, ModelFiles};
use understory_model::gguf::is_gguf;
use understory_protocol::Result;

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in the workspace")
}

/// Every fixture, and the bundled pair where `bundled`.
fn model_folders(bundled: bool) -> Vec<PathBuf> {
    let parents = if bundled { &["fixtures", "models"][..] } else { &["fixtures"] };
    let entries = parents.iter().flat_map(|parent| std::fs::read_dir(root().join(parent)).unwrap());
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 8, "fixtures are missing: {folders:?}");
    folders
}

fn fixture(name: &str) -> PathBuf {
    root().join("fixtures").join(name)
}

/// A model in memory, to break or to rewrite.
#[derive(Clone, Default)]
struct MemoryFiles(BTreeMap<String, Vec<u8>>);

impl MemoryFiles {
    fn load(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let file =
            |entry: std::fs::DirEntry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap());
        Self(entries.map(file).collect())
    }

    /// One GGUF file.
    fn gguf(bytes: Vec<u8>) -> Self {
        Self::default().with("model.gguf", bytes)
    }

    fn with(mut self, file: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(file.into(), bytes.into());
        self
    }

    fn without(mut self, file: &str) -> Self {
        self.0.remove(file).unwrap();
        self
    }

    fn text(&self, file: &str) -> String {
        String::from_utf8(self.0[file].clone()).unwrap()
    }

    /// With `size` rows in the embedding, as `config.json` says it.
    fn with_vocab_size(self, size: usize) -> Self {
        let mut config: serde_json::Value = serde_json::from_str(&self.text("config.json")).unwrap();
        config["vocab_size"] = size.into();
        self.with("config.json", config.to_string())
    }

    /// The same on disk.
    fn to_folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.0 {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }
}

impl ModelFiles for MemoryFiles {
    fn name(&self) -> String {
        "memory".into()
    }

    fn gguf(&self) -> Option<String> {
        self.0.keys().find(|name| is_gguf(name)).cloned()
    }

    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>> {
        Ok(self.0.get(file).map(|bytes| FileBytes::Borrowed(bytes)))
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.0.get(file).map(|bytes| bytes.len() as u64))
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        Ok(FileBytes::Borrowed(&self.0[file][offset as usize..(offset + len) as usize]))
    }
}

/// A folder that lacks one of the files says which.
#[test]
fn a_folder_names_what_it_lacks() {
    for missing in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = MemoryFiles::load(&fixture("llama")).without(missing).to_folder();
        let message = FolderFiles::open(folder.path()).err().expect(missing).to_string();
        assert!(message.contains(&format!("{missing} is missing")), "{message}");
    }
    let nowhere = fixture("no such model");
    assert!(FolderFiles::open(&nowhere).err().unwrap().to_string().contains("no such model"));
}

/// A region of a file is those bytes, at any offset, and never more.
#[test]
fn a_range_is_a_part_of_the_file() {
    let folder = fixture("gpt2");
    let (disk, memory) = (FolderFiles::open(&folder).unwrap(), MemoryFiles::load(&folder));
    let whole = &memory.0["model.safetensors"];
    let len = whole.len() as u64;
    assert_eq!(disk.len("model.safetensors").unwrap(), Some(len));
    for (offset, count) in [(0, 8), (1, 4095), (4095, 2), (4097, 100_001), (len - 1, 1), (len, 0), (0, len)] {
        let range = disk.range("model.safetensors", offset, count).unwrap();
        assert_eq!(&range[..], &whole[offset as usize..(offset + count) as usize], "{count} bytes at {offset}");
    }
    for (offset, count) in [(0, len + 1), (len, 1), (u64::MAX, 2), (len + 1, 0)] {
        assert!(disk.range("model.safetensors", offset, count).is_err(), "{count} bytes at {offset}");
    }
    assert!(disk.read("absent.json").unwrap().is_none());
}

/// What is not a file waits for a writer, or never ends: a read of either fails this by not returning. A link to a file is
/// one, as in the hub's cache.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    let folder = MemoryFiles::load(&fixture("llama")).to_folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::remove_file(at("generation_config.json")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("generation_config.json")).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", at("tokenizer_config.json")).unwrap();
    std::os::unix::fs::symlink("config.json", at("linked.json")).unwrap();
    std::fs::create_dir(at("chat_template.jinja")).unwrap();
    let files = FolderFiles::open(folder.path()).unwrap();
    for name in ["generation_config.json", "tokenizer_config.json", "chat_template.jinja"] {
        for outcome in [files.read(name).map(drop), files.len(name).map(drop), files.range(name, 0, 1).map(drop)] {
            let message = outcome.expect_err(name).to_string();
            assert!(message.contains("not a regular file"), "{message}");
        }
    }
    assert_eq!(files.read("linked.json").unwrap().unwrap().len() as u64, files.len("config.json").unwrap().unwrap());
}

/// A sparse file of 3 GB costs no disk; reading it whole would cost its size in memory.
#[test]
fn a_small_file_that_is_large_is_refused() {
    use understory_model::{chat::ChatTemplate, config::ModelConfig, tokenizer::Tokenizer};
    let folder = MemoryFiles::load(&fixture("llama")).to_folder();
    let files = FolderFiles::open(folder.path()).unwrap();
    let config = ModelConfig::from_files(&files).unwrap();
    for name in
        ["tokenizer.json", "chat_template.jinja", "tokenizer_config.json", "generation_config.json", "config.json"]
    {
        let path = folder.path().join(name);
        let before = std::fs::read(&path).ok();
        std::fs::File::create(&path).unwrap().set_len(3_000_000_000).unwrap();
        let opened = ModelConfig::from_files(&files)
            .and_then(|_| Tokenizer::from_files(&files, &config))
            .and_then(|_| ChatTemplate::from_files(&files));
        let message = opened.err().expect(name).to_string();
        assert!(message.starts_with(name) && message.contains("has 3000000000 bytes"), "{message}");
        match before {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
    }
}
