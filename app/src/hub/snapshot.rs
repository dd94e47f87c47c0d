//! One commit of one repository in the cache. The layout is the one that all Hugging Face tools share:
//! `models--owner--name/{refs/<revision>, snapshots/<commit>/<file>, blobs/<hash>, .no_exist/<commit>/<file>}`, where a
//! snapshot's file is a link to its contents among the blobs.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use understory_model::gguf::{first_of, is_gguf, parts};
use understory_model::repository::{
    self, CONFIG, GgufChoice, Hash, OPTIONAL, TOKENIZER, WEIGHTS, WEIGHTS_INDEX, gguf_files,
};

use super::HubName;

/// Folders within each other that hold GGUF files.
const MOST_DEPTH: usize = 4;
/// Bytes of a small file that is read whole.
const MOST_BYTES: u64 = 64 << 20;

/// The files of one commit of one repository.
pub struct Snapshot {
    pub folder: PathBuf,
    /// of the repository
    root: PathBuf,
    /// where the absence of a file in the repository is remembered
    absent: PathBuf,
    commit: String,
}

impl Snapshot {
    /// The cached commit that `name` means; a full commit hash needs no entry among the revisions.
    pub fn find(cache: &Path, name: &HubName) -> Option<Self> {
        let root = root(cache, name);
        let recorded = commit_of(&root.join("refs").join(&name.revision));
        let snapshot = Self::at(&root, &recorded.unwrap_or_else(|| name.revision.clone()));
        snapshot.folder.is_dir().then_some(snapshot)
    }

    pub fn of_commit(cache: &Path, name: &HubName, commit: &str) -> Self {
        Self::at(&root(cache, name), commit)
    }

    pub fn at(root: &Path, commit: &str) -> Self {
        Self {
            folder: root.join("snapshots").join(commit),
            absent: root.join(".no_exist").join(commit),
            root: root.to_owned(),
            commit: commit.into(),
        }
    }

    /// Where the contents with this hash lie.
    pub fn blob(&self, hash: Hash<'_>) -> PathBuf {
        self.root.join("blobs").join(hash.digits())
    }

    /// Where a file whose hash nobody knows lies on its way; it is not kept there.
    pub fn unnamed(&self, file: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{}-{}", self.commit, file.replace('/', "--")))
    }

    /// The lock of whoever brings the blob.
    pub fn lock(&self, blob: &Path) -> PathBuf {
        let repository = self.root.file_name().unwrap_or_default();
        let mut name = blob.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        self.root.with_file_name(".locks").join(repository).join(name)
    }

    /// Makes `file` of this commit the contents with `hash`: a link, or where there are no links, the contents
    /// themselves, moved here.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn link(&self, file: &str, hash: Hash<'_>) -> io::Result<()> {
        let pointer = self.folder.join(file);
        if let Some(folder) = pointer.parent() {
            fs::create_dir_all(folder)?;
        }
        let up = "../".repeat(2 + file.matches('/').count());
        let target = format!("{up}blobs/{}", hash.digits());
        // Renamed over what is there, which leads nowhere or is another program's: the file is never missing meanwhile.
        let new = self.own_name();
        match symlink(Path::new(&target), &new) {
            Ok(()) => fs::rename(new, pointer),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                fs::rename(self.blob(hash), pointer)
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers what the revision means, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn record(&self, revision: &str) -> io::Result<()> {
        let entry = self.root.join("refs").join(revision);
        if let Some(folder) = entry.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = self.own_name();
        fs::write(&new, &self.commit)?;
        fs::rename(new, entry)
    }

    /// A name that no other program writes, where none looks for anything. What a killed one left there goes.
    fn own_name(&self) -> PathBuf {
        let name = self.root.join(format!(".{}.{}", self.commit, std::process::id()));
        let _ = fs::remove_file(&name);
        name
    }

    /// Where the model lies: the folder, or the first file of the GGUF model that is chosen or that is there alone.
    ///
    /// # Errors
    /// What is missing.
    pub fn model(&self, choice: Option<&GgufChoice>) -> Result<PathBuf, Vec<String>> {
        let missing = match choice {
            None => self.missing(),
            Some(GgufChoice::File(file)) => {
                let mut missing = parts(&first_of(file));
                missing.retain(|part| !self.folder.join(part).is_file());
                missing
            }
            Some(GgufChoice::Label(label)) => vec![label.clone()],
        };
        if choice.is_none() && missing.is_empty() {
            return Ok(self.folder.clone());
        }
        let names = self.gguf_names();
        let files = gguf_files(&names.iter().map(String::as_str).collect::<Vec<_>>(), choice).map_err(|_| missing)?;
        Ok(self.folder.join(&files[0]))
    }

    /// Paths of the GGUF files that are there, relative to the folder.
    pub fn gguf_names(&self) -> Vec<String> {
        fn below(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && depth > 1 {
                    below(&entry.path(), &format!("{prefix}{name}/"), depth - 1, names);
                } else if is_gguf(&name) && entry.path().is_file() {
                    names.push(format!("{prefix}{name}"));
                }
            }
        }
        let mut names = Vec::new();
        below(&self.folder, "", MOST_DEPTH, &mut names);
        names.sort();
        names
    }

    /// Names of the files that a model in safetensors cannot do without and that are not there.
    pub fn missing(&self) -> Vec<String> {
        let mut needed = vec![CONFIG.to_owned(), TOKENIZER.to_owned()];
        let index = self.folder.join(WEIGHTS_INDEX);
        if self.folder.join(WEIGHTS).is_file() || !index.is_file() {
            needed.push(WEIGHTS.into());
        } else {
            match shards(&index) {
                Ok(shards) => needed.extend(shards),
                Err(_) => needed.push(WEIGHTS_INDEX.into()),
            }
        }
        needed.retain(|file| !self.folder.join(file).is_file());
        needed
    }

    /// Whether each optional file is either here or known not to exist. A cache that was filled by another tool, or
    /// before a file was asked for, does not know.
    pub fn optional_files_known(&self) -> bool {
        OPTIONAL.iter().all(|file| self.folder.join(file).is_file() || self.absent.join(file).is_file())
    }

    /// Remembers, as the Python client does, that the repository has no such file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remember_absent(&self, file: &str) -> io::Result<()> {
        fs::create_dir_all(&self.absent)?;
        fs::write(self.absent.join(file), "")
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn root(cache: &Path, name: &HubName) -> PathBuf {
    cache.join(format!("models--{}", name.repo.replace('/', "--")))
}

/// What an entry among the revisions says; `None` where there is none, or where what it says is no folder's name.
pub fn commit_of(entry: &Path) -> Option<String> {
    let text = read_small(entry, 1 << 10).ok()?;
    let commit = String::from_utf8(text).ok()?.trim().to_owned();
    let is_name = !commit.is_empty() && commit.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then_some(commit)
}

/// A regular file, of at most `most` bytes: a pipe would be waited for, and a large one fills the memory.
///
/// # Errors
/// Those of the file system, and what it is instead.
pub fn read_small(path: &Path, most: u64) -> Result<Vec<u8>> {
    let what = || format!("cannot read {}", path.display());
    let found = fs::metadata(path).with_context(what)?;
    if !found.is_file() || found.len() > most {
        bail!("{} is no file of at most {most} bytes", path.display());
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)).with_context(what)?;
    Ok(bytes)
}

/// File names of the shards that a `model.safetensors.index.json` speaks of, each once, in order.
pub fn shards(index: &Path) -> Result<Vec<String>> {
    let text = read_small(index, MOST_BYTES)?;
    repository::shards(&text).map_err(anyhow::Error::msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removing what is there before the link is made fails this: meanwhile the file is missing for one program, or in
    /// the way of the other.
    #[test]
    fn links_are_replaced_in_one_step() {
        let cache = tempfile::tempdir().unwrap();
        let name = HubName { repo: "o/n".into(), revision: HubName::MAIN.into(), gguf: None };
        let snapshot = Snapshot::of_commit(cache.path(), &name, &"c".repeat(40));
        let hash = Hash::Sha256("b10b");
        fs::create_dir_all(snapshot.blob(hash).parent().unwrap()).unwrap();
        for text in ["first", "second"] {
            fs::write(snapshot.blob(hash), text).unwrap();
            snapshot.link("sub/file", hash).unwrap();
            let file = snapshot.folder.join("sub/file");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            #[cfg(unix)]
            assert_eq!(fs::read_link(file).unwrap(), Path::new("../../../blobs/b10b"));
        }
        snapshot.record("v1").unwrap();
        snapshot.record("v1").unwrap();
        assert_eq!(commit_of(&cache.path().join("models--o--n/refs/v1")), Some("c".repeat(40)));
    }
}
