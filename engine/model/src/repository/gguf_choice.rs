//! Which of a repository's GGUF files are one model. Such repositories hold the same model several times, in types of
//! different size, and the names of the files say which.

use std::collections::BTreeSet;

use super::{check_names, is_plain_path};
use crate::gguf::{first_of, is_gguf, model_name, parts};

/// How one of several GGUF models is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GgufChoice {
    /// a file's path in the repository
    File(String),
    /// the last part of a file's name, or its folder, such as `Q4_K_M`; capitals do not matter
    Label(String),
}

impl GgufChoice {
    /// `name`, `name/FILE.gguf` or `name:LABEL`, taken apart; `None` where it is none of these.
    pub(super) fn split(name: &str) -> Option<(&str, Option<Self>)> {
        if let Some((name, file)) = name.split_once('/') {
            return (is_gguf(file) && is_plain_path(file)).then(|| (name, Some(Self::File(file.into()))));
        }
        match name.split_once(':') {
            None => Some((name, None)),
            Some((name, label)) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                let is_label = !label.is_empty() && label.chars().all(plain);
                is_label.then(|| (name, Some(Self::Label(label.into()))))
            }
        }
    }

    fn names(&self, file: &str) -> bool {
        match self {
            Self::File(named) => first_of(named) == file,
            Self::Label(label) => {
                let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
                let name = model_name(name);
                let before = name.len().checked_sub(label.len());
                let ends = before.and_then(|at| Some((name.get(..at)?, name.get(at..)?)));
                folder.eq_ignore_ascii_case(label)
                    || ends.is_some_and(|(before, end)| {
                        end.eq_ignore_ascii_case(label) && (before.is_empty() || before.ends_with(['-', '_', '.']))
                    })
            }
        }
    }
}

/// What of files with these names is the model: `None` means all that a model in safetensors has, otherwise the files of
/// a GGUF model, the first one first. Unless one is chosen, a complete model in safetensors goes before GGUF files.
///
/// # Errors
/// Those of [`gguf_files`], and those of [`check_names`] where no GGUF file is there or asked for.
pub fn model_files(names: &[&str], choice: Option<&GgufChoice>) -> Result<Option<Vec<String>>, String> {
    if choice.is_none() {
        match check_names(names) {
            Ok(()) => return Ok(None),
            Err(lacking) if !names.iter().any(|name| is_gguf(name)) => return Err(lacking),
            Err(_) => {}
        }
    }
    gguf_files(names, choice).map(Some)
}

/// The files of the one GGUF model among `names` that is meant: the chosen one, or the only one. Projectors for images
/// (`mmproj-...`) do not count.
///
/// # Errors
/// Why there is no such one, as a clause: `it has no GGUF file`.
pub fn gguf_files(names: &[&str], choice: Option<&GgufChoice>) -> Result<Vec<String>, String> {
    let is_model = |name: &&&str| {
        is_gguf(name) && !name.rsplit('/').next().is_some_and(|file| file.to_ascii_lowercase().starts_with("mmproj"))
    };
    let models: BTreeSet<String> = names.iter().filter(is_model).map(|name| first_of(name)).collect();
    if models.is_empty() {
        return Err("it has no GGUF file".into());
    }
    let all = || models.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let meant: Vec<&String> = models.iter().filter(|file| choice.is_none_or(|choice| choice.names(file))).collect();
    let first = match meant[..] {
        [one] => one,
        [] => return Err(format!("it has no such GGUF model, but {}", all())),
        _ => return Err(format!("it has several GGUF models: {}", all())),
    };
    let files = parts(first);
    match files.iter().find(|file| !names.contains(&file.as_str())) {
        Some(missing) => Err(format!("it has no {missing}")),
        None => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::HubName;

    #[test]
    fn names_with_a_choice() {
        let parsed = |name| HubName::parse(name).map(|name| (name.repo.clone(), name.gguf.clone(), name.to_string()));
        let file = |file: &str| Some(GgufChoice::File(file.into()));
        let label = Some(GgufChoice::Label("Q4_K_M".into()));
        assert_eq!(parsed("o/n/m.gguf"), Some(("o/n".into(), file("m.gguf"), "o/n/m.gguf".into())));
        assert_eq!(parsed("o/n/d/m.gguf@v1"), Some(("o/n".into(), file("d/m.gguf"), "o/n/d/m.gguf@v1".into())));
        assert_eq!(parsed("o/n:Q4_K_M"), Some(("o/n".into(), label.clone(), "o/n:Q4_K_M".into())));
        assert_eq!(parsed("o/n:Q4_K_M@v1"), Some(("o/n".into(), label, "o/n:Q4_K_M@v1".into())));
        for bad in ["o/n/m.bin", "o/n/../m.gguf", "o/n:", "o/n:a/b", "o/n:a b", "o:x/n", "o/n/.gguf"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    /// Taking any file whose name holds the label fails this: `Q4_K` is not `Q4_K_M`, and `8_0` no type.
    #[test]
    fn a_label_is_the_whole_of_a_names_end() {
        let names = [
            "m-Q4_K_M.gguf",
            "m-Q4_K_S.gguf",
            "README.md",
            "mmproj-m-f16.gguf",
            "m.Q8_0.gguf",
            "BF16/m-00001-of-00002.gguf",
            "BF16/m-00002-of-00002.gguf",
        ];
        let of = |label: &str| gguf_files(&names, Some(&GgufChoice::Label(label.into())));
        assert_eq!(of("q4_k_m").unwrap(), ["m-Q4_K_M.gguf"]);
        assert_eq!(of("bf16").unwrap(), ["BF16/m-00001-of-00002.gguf", "BF16/m-00002-of-00002.gguf"]);
        for bad in ["Q4_K", "8_0", "K_M", "f16", "gguf"] {
            assert!(bad == "K_M" || of(bad).is_err(), "{bad}");
        }
        assert!(gguf_files(&names, None).unwrap_err().contains("several"));
        assert!(gguf_files(&names[..1], None).is_ok() && gguf_files(&["a.bin"], None).is_err());
        assert!(model_files(&names, None).unwrap_err().contains("several"));
        assert_eq!(model_files(&names[..1], None).unwrap(), Some(vec!["m-Q4_K_M.gguf".into()]));
        assert!(model_files(&["a.bin"], None).unwrap_err().contains("config.json"));
        let both = ["m.gguf", "config.json", "tokenizer.json", "model.safetensors"];
        assert_eq!(model_files(&both, None).unwrap(), None);
        assert_eq!(model_files(&both, Some(&GgufChoice::File("m.gguf".into()))).unwrap(), Some(vec!["m.gguf".into()]));
        let part = GgufChoice::File("BF16/m-00002-of-00002.gguf".into());
        assert_eq!(gguf_files(&names, Some(&part)).unwrap().len(), 2);
        assert!(gguf_files(&names[..6], Some(&part)).unwrap_err().contains("m-00002"));
    }
}
