//! Where the platform wants a program's files: its own folder among caches and among data.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use etcetera::BaseStrategy;
use etcetera::base_strategy::choose_native_strategy;

/// For what can be made again; `None` where there is no home folder.
pub fn cache() -> Option<PathBuf> {
    let native = || Some(choose_native_strategy().ok()?.cache_dir());
    own(env::var_os("XDG_CACHE_HOME"), native)
}

/// For what the user wants to keep; `None` where there is no home folder.
pub fn data() -> Option<PathBuf> {
    let native = || Some(choose_native_strategy().ok()?.data_dir());
    own(env::var_os("XDG_DATA_HOME"), native)
}

/// The program's own folder below that of the variable, else below the system's. The variables of the XDG specification
/// count on every system, also without a home folder: cold starts of `bench` get a cache of their own through them.
fn own(variable: Option<OsString>, native: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    // A relative path is to be ignored, says the XDG specification.
    let given = variable.map(PathBuf::from).filter(|path| path.is_absolute());
    Some(given.or_else(native)?.join("understory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_counts_before_the_system() {
        let absolute = if cfg!(windows) { "C:\\caches" } else { "/caches" };
        let system = || Some(PathBuf::from("system"));
        let below = |folder: &str| Some(PathBuf::from(folder).join("understory"));
        assert_eq!(own(Some(absolute.into()), || None), below(absolute));
        assert_eq!(own(Some(absolute.into()), system), below(absolute));
        for ignored in ["relative", ""] {
            assert_eq!(own(Some(ignored.into()), system), below("system"), "`{ignored}`");
        }
        assert_eq!(own(None, || None), None);
    }

    /// One folder for both kinds fails this.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_systems_folders_are_those_of_the_xdg_specification() {
        let Some(home) = env::home_dir() else { return };
        if env::var_os("XDG_CACHE_HOME").is_none() {
            assert_eq!(cache(), Some(home.join(".cache/understory")));
        }
        if env::var_os("XDG_DATA_HOME").is_none() {
            assert_eq!(data(), Some(home.join(".local/share/understory")));
        }
    }
}
