//! Which bytes a model is made of.

use sha2::{Digest, Sha256};
use understory_protocol::{Error, Result};

use super::files::{ModelFiles, read_small};
use super::gguf::Gguf;
use super::repository::{TOKENIZER, WEIGHTS, WEIGHTS_INDEX, shard_names};

/// What is hashed at once.
const PIECE: u64 = 8 << 20;

/// SHA-256 of the weights: of the one file, safetensors or GGUF, or of the shards' hashes (hex, one a line) in the order of
/// their names.
///
/// # Errors
/// Those of reading, and [`Error::BadFile`] for an index that is none.
pub fn weights(files: &dyn ModelFiles) -> Result<Option<String>> {
    if let Some(gguf) = Gguf::open(files)? {
        return match &gguf.file_names()?[..] {
            [one] => file(files, one),
            several => of_all(files, several),
        };
    }
    if let Some(hash) = file(files, WEIGHTS)? {
        return Ok(Some(hash));
    }
    let Some(index) = read_small(files, WEIGHTS_INDEX)? else { return Ok(None) };
    let shards = shard_names(&index).map_err(|reason| Error::BadFile { file: WEIGHTS_INDEX.into(), reason })?;
    of_all(files, &shards)
}

/// SHA-256 of the files' hashes; `None` where one is absent, or there are none.
fn of_all(files: &dyn ModelFiles, names: &[String]) -> Result<Option<String>> {
    let mut lines = String::new();
    for name in names {
        let Some(hash) = file(files, name)? else { return Ok(None) };
        lines.push_str(&hash);
        lines.push('\n');
    }
    Ok(Some(hex(&Sha256::digest(lines.as_bytes()))).filter(|_| !lines.is_empty()))
}

/// SHA-256 of the tokenizer: of `tokenizer.json`, or of the keys and values (as the file has them) that describe it in GGUF.
///
/// # Errors
/// Those of reading.
pub fn tokenizer(files: &dyn ModelFiles) -> Result<Option<String>> {
    let Some(gguf) = Gguf::open(files)? else { return file(files, TOKENIZER) };
    let mut hash = Sha256::new();
    gguf.each_stored("tokenizer.", |key, value| {
        hash.update(key);
        hash.update(value);
    })?;
    Ok(Some(hex(&hash.finalize())))
}

/// SHA-256 of one file; `None` if there is none of that name.
///
/// # Errors
/// Those of reading.
pub fn file(files: &dyn ModelFiles, name: &str) -> Result<Option<String>> {
    let Some(len) = files.len(name)? else { return Ok(None) };
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < len {
        let piece = PIECE.min(len - at);
        hash.update(&files.range(name, at, piece)?[..]);
        at += piece;
    }
    Ok(Some(hex(&hash.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::StaticFiles;

    /// The hash of `abc` is that of FIPS 180-2. Shards in the order of the index, not of their names, fail the second.
    #[test]
    fn weights_are_one_file_or_shards_by_name() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let one = StaticFiles { name: "one", files: &[("model.safetensors", b"abc")] };
        assert_eq!(weights(&one).unwrap().as_deref(), Some(abc));
        const INDEX_TEXT: &[u8] =
            br#"{"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}"#;
        static SHARDS: [(&str, &[u8]); 3] =
            [(WEIGHTS_INDEX, INDEX_TEXT), ("1.safetensors", b"abc"), ("2.safetensors", b"")];
        let sharded = StaticFiles { name: "sharded", files: &SHARDS };
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let both = hex(&Sha256::digest(format!("{abc}\n{empty}\n").as_bytes()));
        assert_eq!(weights(&sharded).unwrap(), Some(both));
        assert_eq!(file(&one, "tokenizer.json").unwrap(), None);
    }
}
