//! What a repository of the Hugging Face Hub holds, and which of it a model needs: names, lists and rules that every
//! front end shares. Nothing here asks a server for anything.

mod gguf_choice;
mod listing;
mod paths;
mod patience;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use understory_protocol::foreign::shown;

pub use self::gguf_choice::{GgufChoice, gguf_files, model_files};
pub use self::listing::{Entry, Hash, LISTING_BYTES, Listing, is_hash};
pub use self::paths::is_plain_path;
pub use self::patience::{Limits, Patience, content_range};

pub const CONFIG: &str = "config.json";
pub const TOKENIZER: &str = "tokenizer.json";
pub const WEIGHTS: &str = "model.safetensors";
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// Files that a model may have or not.
pub const OPTIONAL: [&str; 5] = [
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
];
/// How the names of weights end that are not read.
const OTHER_WEIGHTS: [&str; 6] = [".safetensors", ".bin", ".gguf", ".onnx", ".h5", ".msgpack"];

/// `owner/name[@revision]`, or one of its GGUF models: `owner/name/FILE.gguf[@revision]`, `owner/name:Q4_K_M[@revision]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// `owner/name`
    pub repo: String,
    /// branch, tag, or commit
    pub revision: String,
    pub gguf: Option<GgufChoice>,
}

impl HubName {
    /// The revision where none is named.
    pub const MAIN: &str = "main";

    /// `None` where `name` does not have the form of a repository's name.
    pub fn parse(name: &str) -> Option<Self> {
        let (path, revision) = name.split_once('@').unwrap_or((name, Self::MAIN));
        let (owner, model) = path.split_once('/')?;
        let (model, gguf) = GgufChoice::split(model)?;
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let valid = plain(owner) && plain(model) && revision.split('/').all(plain);
        valid.then(|| Self { repo: format!("{owner}/{model}"), revision: revision.into(), gguf })
    }
}

impl std::fmt::Display for HubName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.repo)?;
        match &self.gguf {
            Some(GgufChoice::File(file)) => write!(f, "/{file}")?,
            Some(GgufChoice::Label(label)) => write!(f, ":{label}")?,
            None => {}
        }
        if self.revision == Self::MAIN { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

/// Whether files of these names can be a model.
///
/// # Errors
/// All that is missing, and what is there in its place, as a clause: `it has no config.json`.
pub fn check_names(names: &[&str]) -> Result<(), String> {
    let has = |file: &str| names.contains(&file);
    let mut missing: Vec<String> =
        [CONFIG, TOKENIZER].into_iter().filter(|file| !has(file)).map(|file| format!("no {file}")).collect();
    if !has(WEIGHTS) && !has(WEIGHTS_INDEX) {
        let other = names.iter().find(|name| OTHER_WEIGHTS.iter().any(|end| name.ends_with(end)));
        let other = other.map_or(String::new(), |name| format!(" (it has {name})"));
        missing.push(format!("neither {WEIGHTS} nor {WEIGHTS_INDEX}{other}"));
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("it has {}", missing.join(", "))) }
}

/// File names of the shards that a `model.safetensors.index.json` speaks of, each once, in order. Everyone who reads,
/// downloads or hashes shards finds them through this function.
///
/// # Errors
/// What is wrong with the index, as a clause that begins with its name.
pub fn shards(index: &[u8]) -> Result<Vec<String>, String> {
    shard_names(index).map_err(|reason| format!("{WEIGHTS_INDEX} {reason}"))
}

/// As [`shards`].
///
/// # Errors
/// The same clause without the index's name.
pub fn shard_names(index: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index)
        .map_err(|error| format!("does not map tensors to files: {}", shown(&error.to_string())))?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    let is_hidden = |file: &str| file.split('/').any(|part| part.starts_with('.'));
    match files.iter().find(|file| !is_plain_path(file) || is_hidden(file)) {
        Some(other) => Err(format!("names a shard outside its folder, or one with no usable name: `{}`", shown(other))),
        None => Ok(files.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let parsed = |name| HubName::parse(name).filter(|n| n.gguf.is_none()).map(|n| (n.repo, n.revision));
        let some = |repo: &str, revision: &str| Some((repo.to_owned(), revision.to_owned()));
        assert_eq!(parsed("o/n"), some("o/n", "main"));
        assert_eq!(parsed("EleutherAI/pythia-70m@step1000"), some("EleutherAI/pythia-70m", "step1000"));
        assert_eq!(parsed("Qwen/Qwen2.5-0.5B@refs/pr/1"), some("Qwen/Qwen2.5-0.5B", "refs/pr/1"));
        for bad in ["gpt2", "a/b/c", "/a/b", "./a", "../a", "o/", "o/n@", "o/n@../x", "o/n@a/../b", "o n/m", "o/n?x"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    /// Stopping at the first missing file fails this: a person would come back once for each.
    #[test]
    fn everything_missing_is_named_at_once() {
        let wrong = check_names(&["model.gguf", "README.md"]).expect_err("no model");
        assert!(wrong.contains("config.json") && wrong.contains("tokenizer.json") && wrong.contains("model.gguf"));
        assert_eq!(check_names(&[CONFIG, TOKENIZER, WEIGHTS_INDEX]), Ok(()));
    }

    /// Refusing every slash fails this, and so does taking every path that stays inside: the system of another reader
    /// may understand the name otherwise.
    #[test]
    fn shards_stay_in_their_folder() {
        let index = |file: &str| {
            let map = serde_json::json!({ "weight_map": { "a": file, "b": "two.safetensors", "c": file } });
            map.to_string()
        };
        assert_eq!(shards(index("one.safetensors").as_bytes()).expect("two"), ["one.safetensors", "two.safetensors"]);
        assert_eq!(
            shards(index("sub/m-1.safetensors").as_bytes()).expect("two"),
            ["sub/m-1.safetensors", "two.safetensors"]
        );
        for bad in
            ["../up.safetensors", "/etc/x", "", "a//b", "./a", "a/.", "C:\\x", "a\\b", ".git/config", "a\0b", "NUL"]
        {
            let said = shards(index(bad).as_bytes()).expect_err(bad);
            assert!(said.starts_with(WEIGHTS_INDEX) && !said.contains('\0'), "{said}");
        }
        assert!(shards(b"[]").is_err());
    }
}
