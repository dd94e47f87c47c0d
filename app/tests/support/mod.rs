//! Running the program as a user does.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Fails the test unless the program ended with `status`, said each of `words` on stderr, and did not panic.
    #[track_caller]
    pub fn fails(&self, status: i32, words: &[&str]) -> &Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in: {}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    /// Stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        self.succeeds();
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// What the program said to `args`, for a snapshot: the command, what it wrote, and how it ended.
pub fn transcript(args: &[&str], outcome: &Outcome) -> String {
    let quoted = |arg: &&str| if arg.is_empty() || arg.contains(' ') { format!("{arg:?}") } else { (*arg).to_owned() };
    let args: Vec<String> = args.iter().map(quoted).collect();
    let status = outcome.status.map_or("a signal".into(), |status| status.to_string());
    let Outcome { stdout, stderr, .. } = outcome;
    assert!(!stderr.contains("panicked"), "{stderr}");
    format!("$ understory {}\n{stdout}{stderr}[status {status}]\n\n", args.join(" "))
}

/// The types of `value` in place of what differs between runs and machines; of a list, its first element's.
pub fn shape(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(all) => all.iter().take(1).map(shape).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), shape(field))).collect(),
    }
}

/// Snapshots of texts whose figures differ between runs and machines: a number is `#`, and columns are one blank apart.
pub fn without_figures() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\b[0-9]+(\.[0-9]+)?(e-?[0-9]+)?", "#");
    settings.add_filter(r" {2,}", " ");
    settings
}

/// The program with `args`, no stdin, and nothing of the caller's environment that would change what it does.
pub fn understory(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_understory"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let proxies = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let tokens = ["HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN"];
    let caches = ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE"];
    let others = ["HF_HUB_OFFLINE", "HF_ENDPOINT", "RUST_LOG"];
    for name in tokens.into_iter().chain(caches).chain(others).chain(proxies) {
        command.env_remove(name);
    }
    // Help texts are as wide as for a file.
    command.env_remove("COLUMNS");
    // Measured costs stay in the build's folder.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.output().expect("the program starts");
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A report that was measured, under another name.
pub fn report(run_id: &str, device: &str) -> serde_json::Value {
    let file = fixture("../bench/runs/2026-11-22-lavapipe-2core-quick/report.json");
    let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    report["run_id"] = run_id.into();
    report["device"]["label"] = device.into();
    report
}

/// The folder of a tiny model of the family `name`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}
