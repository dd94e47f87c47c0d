//! Where the platform wants a program's files: its own folder among caches and among data.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// For what can be made again; `None` where there is no home folder.
pub fn cache() -> Option<PathBuf> {
    Kind::Cache.folder(env::consts::OS, &|name| env::var_os(name), env::home_dir())
}

/// For what the user wants to keep; `None` where there is no home folder.
pub fn data() -> Option<PathBuf> {
    Kind::Data.folder(env::consts::OS, &|name| env::var_os(name), env::home_dir())
}

#[derive(Clone, Copy)]
enum Kind {
    Cache,
    Data,
}

impl Kind {
    /// The variables of the XDG specification count everywhere.
    fn folder(self, os: &str, env: &dyn Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
        // A relative path is to be ignored, says the XDG specification.
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let (xdg, windows, macos, others) = match self {
            Self::Cache => ("XDG_CACHE_HOME", "LOCALAPPDATA", "Library/Caches", ".cache"),
            Self::Data => ("XDG_DATA_HOME", "APPDATA", "Library/Application Support", ".local/share"),
        };
        let system = || match os {
            "windows" => absolute(windows),
            "macos" => Some(home?.join(macos)),
            _ => Some(home?.join(others)),
        };
        Some(absolute(xdg).or_else(system)?.join("understory"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_platforms() {
        let home = || Some(PathBuf::from("models/a"));
        let none = |_: &str| None;
        let folder = |os, env: &dyn Fn(&str) -> Option<OsString>| Kind::Cache.folder(os, env, home());
        assert_eq!(folder("linux", &none), Some("models/a/.cache/understory".into()));
        assert_eq!(folder("macos", &none), Some("models/a/Library/Caches/understory".into()));
        assert_eq!(folder("windows", &none), None);
        assert_eq!(Kind::Cache.folder("linux", &none, None), None);
        let data = |os| Kind::Data.folder(os, &none, home());
        assert_eq!(data("linux"), Some("models/a/.local/share/understory".into()));
        assert_eq!(data("macos"), Some("models/a/Library/Application Support/understory".into()));
        let env = |xdg: &'static str| move |name: &str| (name == "XDG_CACHE_HOME").then(|| xdg.into());
        if cfg!(unix) {
            assert_eq!(folder("linux", &env("/caches")), Some("/caches/understory".into()));
            assert_eq!(Kind::Cache.folder("linux", &env("/caches"), None), Some("/caches/understory".into()));
            // The folder of the one kind is not that of the other.
            assert_eq!(Kind::Data.folder("linux", &env("/caches"), None), None);
            let local = |name: &str| (name == "LOCALAPPDATA").then(|| "/local".into());
            assert_eq!(folder("windows", &local), Some("/local/understory".into()));
        }
        assert_eq!(folder("linux", &env("relative")), Some("models/a/.cache/understory".into()));
        assert_eq!(folder("linux", &env("")), Some("models/a/.cache/understory".into()));
    }
}
