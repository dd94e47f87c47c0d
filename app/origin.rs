//! Which commit and which wgpu a program is made of, for its reports: a part of build scripts.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What every front end is made of: a change in one of them changes whether the commit alone says it. Each must exist:
/// cargo runs build scripts on every build for one that does not. The crates of `engine/` that front ends do without are
/// left out.
const ENGINE: [&str; 11] = [
    "engine/charts",
    "engine/lab",
    "engine/model",
    "engine/protocol",
    "engine/runtime",
    "engine/session",
    "engine/speculation",
    "shaders",
    "models",
    "Cargo.toml",
    "Cargo.lock",
];

/// Commit and versions; `front_end`: the folder of its sources. Where there is no git, or the sources lie in somebody
/// else's repository, the commit is unknown.
pub fn tell(root: &Path, front_end: &str) {
    let sources = &[&[front_end], &ENGINE[..]].concat();
    for source in sources {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").current_dir(root).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(text.trim().to_owned())
    };
    let own = git(&["ls-files", "--error-unmatch", "app/build.rs"]).is_some();
    let commit = git(&["rev-parse", "HEAD"]).filter(|_| own).unwrap_or_default();
    let changes = git(&[&["status", "--porcelain", "--"], &sources[..]].concat()).filter(|_| own);
    let dirty = changes.map_or(String::new(), |changes| (!changes.is_empty()).to_string());
    // Every commit and every checkout adds a line to it.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|_| own) {
        println!("cargo::rerun-if-changed={}", root.join(log).display());
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let version = |name: &str| {
        let start = format!("name = \"{name}\"\nversion = \"");
        let after = lock.replace('\r', "").split_once(&start).map(|(_, after)| after.to_owned());
        after.and_then(|after| Some(after.split_once('"')?.0.to_owned())).unwrap_or_default()
    };
    for (name, value) in [("COMMIT", commit), ("DIRTY", dirty), ("WGPU", version("wgpu"))] {
        println!("cargo::rustc-env=UNDERSTORY_{name}={value}");
    }
}
