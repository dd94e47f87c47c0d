//! The places where a start finds what earlier ones left: the driver's compiled shaders, and our measured costs.
//!
//! A start gets folders of its own in place of the user's. Whether the driver took them is seen by its files there;
//! where it left none, nobody knows what it kept, and the report says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::interrupt::TemporaryFolder;

/// Ours lie under this name in the folder for caches, as Mesa's do under its own.
const OURS: &str = "understory";

/// Folders for the caches of starts, removed with this value.
pub struct Caches {
    root: TemporaryFolder,
    /// starts made so far
    starts: usize,
    /// a driver's file was seen
    seen: bool,
}

impl Caches {
    /// # Errors
    /// Where the folder for temporary files cannot be written.
    pub fn new() -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let root = std::env::temp_dir().join(format!("understory-bench-{}-{now}", std::process::id()));
        let cannot = || format!("cannot make a folder for caches, {}", root.display());
        let root = TemporaryFolder::make(root.clone()).with_context(cannot)?;
        Ok(Self { root, starts: 0, seen: false })
    }

    /// An empty folder.
    pub fn emptied(&mut self) -> Result<PathBuf> {
        self.folder("cold", true)
    }

    /// The folder of all starts with filled caches.
    pub fn kept(&mut self) -> Result<PathBuf> {
        self.folder("kept", false)
    }

    fn folder(&mut self, name: &str, empty: bool) -> Result<PathBuf> {
        let folder = self.root.path().join(name);
        if empty && folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// After a start with its caches in `folder`.
    pub fn look(&mut self, folder: &Path) {
        self.starts += 1;
        self.seen = self.seen || holds_a_file(folder);
    }

    /// What is to be said of starts whose caches may be elsewhere; `None`: nothing.
    pub fn doubt(&self) -> Option<String> {
        (self.starts > 0 && !self.seen).then(|| {
            "the driver left no file in the folder that it was given for its cache: what it keeps elsewhere was not \
             cleared, so cold starts may have found compiled shaders"
                .into()
        })
    }
}

/// Makes `folder` the place for caches of the process to be: of Mesa, of NVIDIA's driver, of what follows the XDG
/// specification, and ours.
pub fn point_to(command: &mut Command, folder: &Path) {
    // Models stay where they are.
    if let Some(home) = crate::hub::home_from_env() {
        command.env("HF_HOME", home);
    }
    command.env("XDG_CACHE_HOME", folder);
    command.env("MESA_SHADER_CACHE_DIR", folder).env_remove("MESA_SHADER_CACHE_DISABLE");
    command.env("__GL_SHADER_DISK_CACHE_PATH", folder).env("__GL_SHADER_DISK_CACHE", "1");
}

/// A file below `folder` that is not ours.
fn holds_a_file(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.file_name() != OURS);
    entries.into_iter().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds_a_file(&entry.path()),
        Ok(kind) => kind.is_file(),
        Err(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taking our own file of costs for the driver's fails this.
    #[test]
    fn a_driver_that_leaves_nothing_is_doubted() {
        let mut caches = Caches::new().unwrap();
        assert_eq!(caches.doubt(), None, "without a start there is nothing to doubt");
        let cold = caches.emptied().unwrap();
        fs::create_dir(cold.join(OURS)).unwrap();
        fs::write(cold.join(OURS).join("costs.json"), "{}").unwrap();
        fs::create_dir(cold.join("nothing in here")).unwrap();
        caches.look(&cold);
        assert!(caches.doubt().is_some());
        assert_eq!(caches.emptied().unwrap(), cold);
        assert_eq!(fs::read_dir(&cold).unwrap().count(), 0);
        fs::create_dir(cold.join("mesa_shader_cache")).unwrap();
        fs::write(cold.join("mesa_shader_cache").join("index"), "x").unwrap();
        caches.look(&cold);
        assert_eq!(caches.doubt(), None);
        let root = caches.root.path().to_owned();
        drop(caches);
        assert!(!root.exists());
    }
}
