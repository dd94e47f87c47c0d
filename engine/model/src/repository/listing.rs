//! What the hub says of a repository at a revision. It is the only thing that names a file, a commit or a hash: headers
//! of later answers do not count.

use serde::Deserialize;
use understory_protocol::foreign::shown;

use super::paths::{is_outside, is_plain_path};
use super::{GgufChoice, HubName, model_files};

/// Bytes that an answer may have.
pub const LISTING_BYTES: usize = 16 << 20;
/// Files that a repository may have.
const MOST_ENTRIES: usize = 100_000;

/// A repository's commit and files.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct Listing {
    /// the commit
    pub sha: String,
    /// Files whose names can be paths on every system; the others are not in here.
    pub siblings: Vec<Entry>,
}

/// A file of a repository. A mirror may leave out all but the name.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct Entry {
    #[serde(rename = "rfilename")]
    pub name: String,
    pub size: Option<u64>,
    /// SHA-1 of git's blob: `blob SIZE\0`, then the contents
    #[serde(rename = "blobId")]
    git_hash: Option<String>,
    lfs: Option<Lfs>,
}

/// Files above a few megabytes are stored by their hash.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct Lfs {
    sha256: Option<String>,
}

/// A hash of a file's contents, in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash<'a> {
    /// of the contents, 64 digits
    Sha256(&'a str),
    /// of git's blob, `blob SIZE\0` before the contents: SHA-1 with 40 digits, SHA-256 with 64
    Git(&'a str),
}

impl<'a> Hash<'a> {
    pub fn digits(self) -> &'a str {
        let (Self::Sha256(digits) | Self::Git(digits)) = self;
        digits
    }
}

impl Entry {
    /// Of the contents, under which caches keep them. A large file's `blobId` is not of its contents.
    pub fn hash(&self) -> Option<Hash<'_>> {
        match &self.lfs {
            Some(lfs) => lfs.sha256.as_deref().map(Hash::Sha256),
            None => self.git_hash.as_deref().map(Hash::Git),
        }
    }
}

impl Listing {
    /// # Errors
    /// Why `text` is no answer of a hub.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LISTING_BYTES {
            return Err(format!("its list of files is longer than {} MiB", LISTING_BYTES >> 20));
        }
        let mut listing: Self = serde_json::from_str(text).map_err(|error| shown(&error.to_string()))?;
        let count = listing.siblings.len();
        if count > MOST_ENTRIES {
            return Err(format!("it lists {count} files; expected at most {MOST_ENTRIES}"));
        }
        if !is_hash(&listing.sha) {
            return Err(format!("it names the commit `{}`; expected 40 hexadecimal digits", shown(&listing.sha)));
        }
        listing.sha.make_ascii_lowercase();
        for Entry { name, git_hash, lfs, .. } in &mut listing.siblings {
            if is_outside(name) {
                return Err(format!("it lists `{}`, which is no file inside a repository", shown(name)));
            }
            let sha256 = lfs.as_mut().and_then(|lfs| lfs.sha256.as_mut());
            if sha256.as_ref().is_some_and(|digits| digits.len() != 64) {
                return Err(format!("it gives {} a SHA-256 that is none; expected 64 hexadecimal digits", shown(name)));
            }
            for digits in sha256.into_iter().chain(git_hash) {
                if !is_hash(digits) {
                    return Err(format!("it gives {} a hash that is none: `{}`", shown(name), shown(digits)));
                }
                digits.make_ascii_lowercase();
            }
        }
        listing.siblings.retain(|entry| is_plain_path(&entry.name));
        Ok(listing)
    }

    pub fn entry(&self, file: &str) -> Option<&Entry> {
        self.siblings.iter().find(|entry| entry.name == file)
    }

    /// As [`model_files`].
    ///
    /// # Errors
    /// Those of [`model_files`].
    pub fn model_files(&self, choice: Option<&GgufChoice>) -> Result<Option<Vec<String>>, String> {
        model_files(&self.siblings.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), choice)
    }

    /// Whether this is the commit that `name` asks for; a branch or a tag may mean any.
    ///
    /// # Errors
    /// What was asked for, and what came.
    pub fn check_commit(&self, name: &HubName) -> Result<(), String> {
        if is_hash(&name.revision) && !name.revision.eq_ignore_ascii_case(&self.sha) {
            return Err(format!("asked for the commit {}, it answers with {}", name.revision, self.sha));
        }
        Ok(())
    }
}

/// Whether `digits` is a hash of git: 40 hexadecimal digits, or 64 in repositories of the newer kind.
pub fn is_hash(digits: &str) -> bool {
    matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789ABCDEF0123456789abcdef01234567";

    fn listing(siblings: &str) -> Result<Listing, String> {
        Listing::parse(&format!(r#"{{"sha":"{SHA}","siblings":[{siblings}]}}"#))
    }

    /// Taking every `blobId` for a hash of contents fails this: a large file's is that of a pointer to it, also where
    /// the list says nothing else of it.
    #[test]
    fn a_large_files_hash_is_its_sha256() {
        let (git, sha256) = (SHA.to_lowercase(), "c3".repeat(32));
        let text = format!(
            r#"{{"rfilename":"w","size":5,"blobId":"{SHA}","lfs":{{"sha256":"{sha256}","size":5}}}},
            {{"rfilename":"c","size":2,"blobId":"{SHA}"}},{{"rfilename":"x"}},
            {{"rfilename":"y","blobId":"{SHA}","lfs":{{"size":5}}}}"#
        );
        let listing = listing(&text).expect("a list");
        let hashes: Vec<_> = listing.siblings.iter().map(Entry::hash).collect();
        assert_eq!(hashes, [Some(Hash::Sha256(&sha256)), Some(Hash::Git(&git)), None, None]);
        assert_eq!(listing.sha, git);
    }

    /// Checking for hexadecimal digits alone fails this: short and long ones are no hashes.
    #[test]
    fn hashes_that_are_none_are_refused() {
        for sha in ["", "../x", "a1", &"a".repeat(41), &"g".repeat(40), "refs/heads/main"] {
            let said = Listing::parse(&format!(r#"{{"sha":"{sha}","siblings":[]}}"#)).expect_err(sha);
            assert!(said.contains("commit"), "{said}");
        }
        for hash in [
            r#""blobId":"../../../etc/passwd""#,
            r#""blobId":"a1""#,
            r#""lfs":{"sha256":"/etc/passwd"}"#,
            &format!(r#""lfs":{{"sha256":"{SHA}"}}"#),
        ] {
            let said = listing(&format!(r#"{{"rfilename":"w",{hash}}}"#)).expect_err(hash);
            assert!(said.contains("hash") || said.contains("SHA-256"), "{said}");
        }
    }

    /// A list with a name that leads outside was not made from a repository. One that only some systems cannot have
    /// (a device of Windows, a colon) is of no use to a model and does no harm.
    #[test]
    fn names_that_lead_outside_are_refused_and_others_that_cannot_be_paths_are_left_out() {
        for bad in ["../x", "/etc/x", "a/../../x", "", "a//b", "a\\u0000b", ".."] {
            assert!(listing(&format!(r#"{{"rfilename":"{bad}"}}"#)).is_err(), "{bad}");
        }
        let left = listing(r#"{"rfilename":"aux.txt"},{"rfilename":"a:b"},{"rfilename":"x\\y"},{"rfilename":"ok/a"}"#);
        let names: Vec<String> = left.expect("a list").siblings.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["ok/a"]);
    }

    #[test]
    fn lists_are_bounded() {
        let many = vec![r#"{"rfilename":"a"}"#; MOST_ENTRIES + 1].join(",");
        assert!(listing(&many).expect_err("too many").contains("100001 files"));
        let long = " ".repeat(LISTING_BYTES + 1);
        assert!(Listing::parse(&long).expect_err("too long").contains("16 MiB"));
    }

    /// A branch may mean any commit; a commit means itself.
    #[test]
    fn a_commit_that_was_asked_for_is_the_one_that_comes() {
        let listing = listing("").expect("a list");
        let asked = |revision: &str| {
            listing.check_commit(&HubName { repo: "o/n".into(), revision: revision.into(), gguf: None })
        };
        assert_eq!(asked("main"), Ok(()));
        assert_eq!(asked(SHA), Ok(()));
        assert!(asked(&"a".repeat(40)).is_err_and(|said| said.contains("0123456789")));
    }
}
