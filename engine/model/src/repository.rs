//! What a repository of the Hugging Face Hub holds, and which of it a model needs: names, lists and rules that every
//! front end shares. Nothing here asks a server for anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

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

/// `owner/name[@revision]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// `owner/name`
    pub repo: String,
    /// branch, tag, or commit
    pub revision: String,
}

impl HubName {
    /// The revision where none is named.
    pub const MAIN: &str = "main";

    /// `None` where `name` does not have the form of a repository's name.
    pub fn parse(name: &str) -> Option<Self> {
        let (repo, revision) = name.split_once('@').unwrap_or((name, Self::MAIN));
        let (owner, model) = repo.split_once('/')?;
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let valid = plain(owner) && plain(model) && revision.split('/').all(plain);
        valid.then(|| Self { repo: repo.into(), revision: revision.into() })
    }
}

impl std::fmt::Display for HubName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.repo)?;
        if self.revision == Self::MAIN { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

/// What the hub says of a repository at a revision.
#[derive(Debug, Deserialize)]
pub struct Listing {
    /// the commit
    pub sha: String,
    pub siblings: Vec<Entry>,
}

/// A file of a repository. A mirror may leave out all but the name.
#[derive(Debug, Deserialize)]
pub struct Entry {
    #[serde(rename = "rfilename")]
    pub name: String,
    pub size: Option<u64>,
    /// SHA-1 of git's blob: `blob SIZE\0`, then the contents
    #[serde(rename = "blobId")]
    pub git_hash: Option<String>,
    lfs: Option<Lfs>,
}

/// Files above a few megabytes are stored by their hash.
#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl Entry {
    /// Of large files.
    pub fn sha256(&self) -> Option<&str> {
        self.lfs.as_ref()?.sha256.as_deref()
    }

    /// The hash under which caches keep the contents. A large file's `git_hash` is not of its contents.
    pub fn tag(&self) -> Option<&str> {
        self.sha256().or(self.git_hash.as_deref())
    }
}

impl Listing {
    /// # Errors
    /// Why `text` is no answer of a hub.
    pub fn parse(text: &str) -> Result<Self, String> {
        let listing: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex(&listing.sha) || !listing.siblings.iter().filter_map(Entry::tag).all(hex) {
            return Err("its list of files has a hash that is none".into());
        }
        Ok(listing)
    }

    pub fn entry(&self, file: &str) -> Option<&Entry> {
        self.siblings.iter().find(|entry| entry.name == file)
    }

    /// As [`check_names`].
    ///
    /// # Errors
    /// Those of [`check_names`].
    pub fn check(&self) -> Result<(), String> {
        check_names(&self.siblings.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>())
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

/// File names of the shards that a `model.safetensors.index.json` speaks of, each once, in order.
///
/// # Errors
/// What is wrong with the index.
pub fn shards(index: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_str(index)
        .map_err(|error| format!("{WEIGHTS_INDEX} does not map tensors to files: {error}"))?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    let inside = |file: &str| Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    match files.iter().find(|file| file.is_empty() || !inside(file)) {
        Some(outside) => Err(format!("{WEIGHTS_INDEX} names a shard outside its folder: `{outside}`")),
        None => Ok(files.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let parsed = |name| HubName::parse(name).map(|n| (n.repo, n.revision));
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

    /// Taking every `blobId` for a hash of contents fails this: a large file's is that of a pointer to it.
    #[test]
    fn a_large_files_tag_is_its_sha256() {
        let text = r#"{"sha":"a1","siblings":[{"rfilename":"w","size":5,"blobId":"b2","lfs":{"sha256":"c3","size":5}},
            {"rfilename":"c","size":2,"blobId":"d4"},{"rfilename":"x"}]}"#;
        let listing = Listing::parse(text).expect("a list");
        let tags: Vec<_> = listing.siblings.iter().map(Entry::tag).collect();
        assert_eq!(tags, [Some("c3"), Some("d4"), None]);
        assert!(Listing::parse(r#"{"sha":"../x","siblings":[]}"#).is_err());
    }

    #[test]
    fn shards_stay_in_their_folder() {
        let index = |file: &str| format!(r#"{{"weight_map":{{"a":"{file}","b":"two.safetensors","c":"{file}"}}}}"#);
        assert_eq!(shards(&index("one.safetensors")).expect("two"), ["one.safetensors", "two.safetensors"]);
        for bad in ["../up.safetensors", "/etc/x", ""] {
            assert!(shards(&index(bad)).is_err(), "{bad}");
        }
        assert!(shards("[]").is_err());
    }
}
