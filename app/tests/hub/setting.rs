//! A hub on this machine and a program that asks it, with a folder of its own around everything it may write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::server::{COMMIT, HubServer, Reply, Request, Then, head, plain};
use super::support::{Outcome, fixture, run, understory};

pub const WEIGHTS: &str = "model.safetensors";

/// A hub, and a cache of its own for the program.
pub struct Setting {
    pub hub: HubServer,
    pub around: TempDir,
}

impl Setting {
    pub fn new() -> Self {
        let files = ["config.json", "generation_config.json", "tokenizer.json", WEIGHTS];
        let read = |file: &str| (file.to_owned(), fs::read(fixture("llama").join(file)).unwrap());
        Self::with(files.into_iter().map(read).collect())
    }

    pub fn with(files: BTreeMap<String, Vec<u8>>) -> Self {
        let around = tempfile::tempdir().unwrap();
        fs::create_dir_all(around.path().join("deep/down/home")).unwrap();
        fs::write(around.path().join("victim"), "untouched").unwrap();
        Self { hub: HubServer::start(files), around }
    }

    pub fn home(&self) -> PathBuf {
        self.around.path().join("deep/down/home")
    }

    pub fn command(&self, model: &str) -> Command {
        let mut command = understory(&["generate", "x", "--device", "9999", "--model", model]);
        command.env("HF_HOME", self.home()).env("HF_ENDPOINT", self.hub.endpoint());
        command
    }

    pub fn fetch(&self) -> Outcome {
        run(&mut self.command("owner/model"))
    }

    pub fn root(&self) -> PathBuf {
        self.home().join("hub/models--owner--model")
    }

    /// The file in the cache.
    pub fn cached(&self, file: &str) -> PathBuf {
        self.root().join("snapshots").join(COMMIT).join(file)
    }

    /// The hub's models in the cache as `understory models` lists them.
    pub fn listed(&self) -> Vec<Value> {
        let rows = run(understory(&["models", "--json"]).env("HF_HOME", self.home())).json();
        rows.as_array().unwrap().iter().filter(|row| row["source"] == "hub").cloned().collect()
    }

    pub fn weights(&self) -> Vec<u8> {
        self.hub.state().files[WEIGHTS].clone()
    }

    /// Answers some requests otherwise.
    pub fn trick(&self, trick: impl FnMut(&Request) -> Option<Reply> + Send + 'static) {
        self.hub.state().trick = Some(Box::new(trick));
    }

    /// What the hub lists, changed.
    pub fn list(&self, change: impl FnOnce(&mut Value)) {
        let mut listing = super::server::listing_of(&self.hub.state().files);
        change(&mut listing);
        let text = listing.to_string();
        self.trick(move |request| {
            let (head, body) = plain(200, &text);
            is_listing(request).then_some(Reply { head, body, then: Then::Close })
        });
    }

    #[track_caller]
    pub fn assert_whole(&self) {
        for (file, bytes) in &self.hub.state().files {
            assert!(fs::read(self.cached(file)).unwrap() == *bytes, "{file} differs");
        }
        assert_eq!(fs::read_to_string(self.root().join("refs/main")).unwrap(), COMMIT);
    }

    /// Nothing outside the cache was written, and what is in it has only the names of its layout.
    #[track_caller]
    pub fn assert_contained(&self) {
        let outside: Vec<String> =
            tree(self.around.path(), "").into_iter().filter(|path| !path.starts_with("deep/down/home/hub/")).collect();
        let expected = ["deep", "deep/down", "deep/down/home", "deep/down/home/hub", "victim"];
        assert!(outside.iter().all(|path| expected.contains(&path.as_str())), "{outside:?}");
        assert_eq!(fs::read_to_string(self.around.path().join("victim")).unwrap(), "untouched");
        let digits = |name: &str| name.bytes().all(|b| b.is_ascii_hexdigit());
        for path in tree(&self.root(), "") {
            let parts: Vec<&str> = path.split('/').collect();
            let is_known = match parts[..] {
                ["blobs" | "refs" | "snapshots" | ".no_exist"] => true,
                ["blobs", name] => digits(name.trim_end_matches(".incomplete")),
                ["snapshots" | ".no_exist", commit, ..] => commit == COMMIT,
                ["refs", name] => ["main", "v1", COMMIT].contains(&name),
                _ => false,
            };
            assert!(is_known, "{path}");
        }
    }

    /// Nothing has a final name that is not the file of that name, and the revision is not recorded.
    #[track_caller]
    pub fn assert_unfinished(&self) {
        self.assert_contained();
        assert!(!self.root().join("refs/main").exists());
        for (file, bytes) in &self.hub.state().files {
            let cached = fs::read(self.cached(file));
            assert!(cached.is_err() || cached.unwrap() == *bytes, "{file} differs");
        }
    }
}

pub fn is_listing(request: &Request) -> bool {
    request.path.starts_with("/api/")
}

/// For the weights' contents, wherever the hub keeps them.
pub fn is_weights(request: &Request) -> bool {
    request.path.starts_with("/store/")
}

/// A whole answer with these headers.
pub fn with_headers(body: &[u8], headers: &str) -> Reply {
    Reply { head: head(200, body.len(), headers), body: body.into(), then: Then::Close }
}

/// Paths below a folder, in order; links are not followed.
pub fn tree(folder: &Path, prefix: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            paths.extend(tree(&entry.path(), &format!("{path}/")));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

/// The run got all files and then failed at the adapter.
#[track_caller]
pub fn got_files(outcome: &Outcome) {
    outcome.fails(1, &["adapter"]);
    assert!(!outcome.stderr.contains("owner/model"), "{}", outcome.stderr);
}
