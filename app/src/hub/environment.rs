//! What the environment says of the hub, as the Python client `huggingface_hub` reads it (its `constants.py` and
//! `utils/_auth.py`). One difference: a path that is set and empty counts as not set, where it means the working folder
//! there.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that a token file may have.
const MOST_TOKEN_BYTES: u64 = 64 << 10;
const PUBLIC_HUB: &str = "https://huggingface.co";

/// Where models are kept and come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Environment {
    /// `$HF_HOME`, or where that would be; `None`: there is no home folder.
    pub home: Option<PathBuf>,
    /// holds `models--owner--name`; `None`: there is no home folder, and no variable names it.
    pub cache: Option<PathBuf>,
    /// without a slash at its end
    pub endpoint: String,
    /// of a variable
    pub token: Option<String>,
    /// where other tools leave a token
    pub token_path: Option<PathBuf>,
    pub offline: bool,
}

impl Environment {
    /// That of this process.
    pub fn current() -> Self {
        Self::read(|name| std::env::var_os(name), std::env::home_dir())
    }

    /// `variable` looks a variable up, `user_home` is what `~` means.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>, user_home: Option<PathBuf>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let expanded = |path: PathBuf| expand(path, user_home.as_deref(), &text);
        let path = |name: &str| variable(name).map(PathBuf::from);

        let caches = path("XDG_CACHE_HOME").or_else(|| Some(user_home.as_ref()?.join(".cache")));
        let home = path("HF_HOME").or_else(|| Some(caches?.join("huggingface"))).map(expanded);
        let in_home = |name: &str| Some(home.as_ref()?.join(name));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).or_else(|| in_home("hub"));
        let token_path = path("HF_TOKEN_PATH").or_else(|| in_home("token"));
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| PUBLIC_HUB.into());
        let offline = text("HF_HUB_OFFLINE").or_else(|| text("TRANSFORMERS_OFFLINE"));
        Self {
            cache: cache.map(expanded),
            endpoint: endpoint.trim().trim_end_matches('/').into(),
            token: token.and_then(|token| clean(&token)),
            token_path: token_path.map(expanded),
            offline: offline.is_some_and(|value| is_true(&value)),
            home,
        }
    }

    /// The token of a variable, else of the file.
    pub fn any_token(&self) -> Option<String> {
        self.token.clone().or_else(|| read_token(self.token_path.as_deref()?))
    }
}

fn read_token(path: &Path) -> Option<String> {
    // A pipe would be waited for.
    path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut token = String::new();
    File::open(path).ok()?.take(MOST_TOKEN_BYTES).read_to_string(&mut token).ok()?;
    clean(&token)
}

/// The token without line ends and outer blanks; `None` where nothing is left.
fn clean(token: &str) -> Option<String> {
    let token = token.replace(['\r', '\n'], "").trim().to_owned();
    (!token.is_empty()).then_some(token)
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// `os.path.expanduser`, then `os.path.expandvars`. A variable that is not set stays as it is written, and so does
/// `~name`, another user's home.
fn expand(path: PathBuf, user_home: Option<&Path>, variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let Some(text) = path.to_str() else { return path };
    let of_user = |rest: &str| Some(format!("{}{rest}", user_home?.to_str()?.trim_end_matches('/')));
    let is_home = |rest: &&str| rest.is_empty() || rest.starts_with('/') || cfg!(windows) && rest.starts_with('\\');
    let text = text.strip_prefix('~').filter(is_home).and_then(of_user).unwrap_or_else(|| text.to_owned());
    let mut expanded = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let plain = after.find(|c| !is_name(c)).unwrap_or(after.len());
        let (name, len) = braced.map_or((&after[..plain], plain), |name| (name, name.len() + 2));
        expanded.push_str(before);
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => expanded.push_str(&value),
            None => expanded.push_str(&rest[at..=at + len]),
        }
        rest = &after[len..];
    }
    (expanded + rest).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn with(variables: &HashMap<String, String>) -> Environment {
        Environment::read(|name| variables.get(name).map(OsString::from), Some("/home/u".into()))
    }

    /// The table is what huggingface_hub itself answers (`huggingface_hub.py` beside it). Reading `HF_HOME` alone fails
    /// it, and so does any other order of the variables.
    #[test]
    #[cfg(unix)]
    fn variables_mean_what_they_mean_to_huggingface_hub() {
        let cases: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("environment/huggingface_hub.json")).unwrap();
        assert!(cases.len() > 40);
        for case in cases {
            let environment = with(&serde_json::from_value(case["env"].clone()).unwrap());
            let path = |path: Option<PathBuf>| path.unwrap().to_str().unwrap().to_owned();
            let ours = serde_json::json!({
                "env": case["env"],
                "cache": path(environment.cache),
                "token_path": path(environment.token_path),
                "token": environment.token,
                "endpoint": environment.endpoint,
                "offline": environment.offline,
            });
            assert_eq!(ours, case);
        }
    }

    /// Joining to a home that is not there fails this: the cache would be in the working folder.
    #[test]
    fn without_a_home_a_variable_can_name_the_cache() {
        let read = |name: &'static str| Environment::read(|asked| (asked == name).then(|| "/c".into()), None);
        assert_eq!(read("HF_HUB_CACHE").cache, Some("/c".into()));
        assert_eq!(read("HF_HOME").cache, Some(Path::new("/c").join("hub")));
        assert_eq!((read("NONE").cache, read("NONE").token_path), (None, None));
    }

    #[test]
    fn empty_paths_count_as_not_set() {
        let empty = ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_TOKEN_PATH"];
        let variables = empty.map(|name| (name.to_owned(), String::new())).into();
        assert_eq!(with(&variables), with(&HashMap::new()));
    }

    /// Waiting for a pipe fails this.
    #[test]
    fn a_token_file_is_read_where_no_variable_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let variables = HashMap::from([("HF_TOKEN_PATH".to_owned(), path.to_str().unwrap().to_owned())]);
        assert_eq!(with(&variables).any_token(), None);
        std::fs::write(&path, " secret\r\n").unwrap();
        assert_eq!(with(&variables).any_token().as_deref(), Some("secret"));
        let mut both = variables;
        both.insert("HF_TOKEN".into(), "first".into());
        assert_eq!(with(&both).any_token().as_deref(), Some("first"));
    }
}
