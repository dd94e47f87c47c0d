//! Names, commits and hashes that would become paths: of headers, of lists and of indexes.

use serde_json::json;

use super::server::{COMMIT, git_hash};
use super::setting::{self, Setting, got_files, with_headers};
use super::{fetch, hurried};

/// Naming a file after an `ETag`, or a folder after `X-Repo-Commit`, fails this: both lead out of the cache.
#[test]
fn headers_name_no_files() {
    let absolute = tempfile::tempdir().unwrap();
    let elsewhere = absolute.path().join("new").to_str().unwrap().to_owned();
    for name in ["../../../../../../victim", "../../../../../../new", &elsewhere, "", "..", "a/b"] {
        let setting = Setting::new();
        let files = setting.hub.state().files.clone();
        let headers =
            format!("ETag: \"{name}\"\r\nX-Linked-Etag: \"{name}\"\r\nX-Repo-Commit: {name}\r\nX-Linked-Size: 3\r\n");
        setting.trick(move |request| {
            let file = request.path.rsplit('/').next().unwrap();
            files.get(file).map(|bytes| with_headers(bytes, &headers))
        });
        got_files(&fetch(&setting));
        setting.assert_whole();
        setting.assert_contained();
        assert_eq!(setting::tree(absolute.path(), ""), Vec::<String>::new());
    }
}

/// Making a path of every name that a list or an index gives fails this.
#[test]
fn names_stay_in_the_cache() {
    for name in ["../../../../../../victim", "/etc/understory-test", "a/../../x", "", "a//b", "a\u{0}b"] {
        let setting = Setting::new();
        setting.list(|listing| {
            let entry = json!({ "rfilename": name, "size": 3, "blobId": git_hash(b"new") });
            listing["siblings"].as_array_mut().unwrap().push(entry);
        });
        fetch(&setting).fails(1, &["does not answer as a Hugging Face hub does", "no file inside a repository"]);
        setting.assert_unfinished();
    }
    // Of no use and no harm.
    let setting = Setting::new();
    setting.list(|listing| {
        listing["siblings"].as_array_mut().unwrap().push(json!({ "rfilename": "nul.txt" }));
    });
    got_files(&fetch(&setting));
    setting.assert_contained();
}

/// Taking the list's commit and hashes as they are fails this: both become paths.
#[test]
fn commits_and_hashes_are_hexadecimal() {
    let long = "a".repeat(100_000);
    for bad in ["../../../../../../new", "/new", "main", "", &"a".repeat(41), "\u{1b}[2J", &long] {
        let setting = Setting::new();
        setting.list(|listing| listing["sha"] = bad.into());
        let outcome = fetch(&setting);
        outcome.fails(1, &["does not answer as a Hugging Face hub does", "commit"]);
        assert!(!outcome.stderr.contains('\u{1b}'));
        setting.assert_unfinished();
        for key in ["blobId", "lfs"] {
            let setting = Setting::new();
            setting.list(|listing| {
                let value = if key == "lfs" { json!({ "sha256": bad }) } else { bad.into() };
                listing["siblings"][0][key] = value;
            });
            fetch(&setting).fails(1, &["does not answer as a Hugging Face hub does"]);
            setting.assert_unfinished();
        }
    }
}

/// Using what came in place of what was asked for fails this.
#[test]
fn a_commit_is_not_answered_with_another() {
    let setting = Setting::new();
    setting.list(|listing| listing["sha"] = "f".repeat(40).into());
    let by_commit = format!("owner/model@{COMMIT}");
    hurried(&mut setting.command(&by_commit)).fails(1, &["asked for the commit", COMMIT]);
    assert!(!setting.root().exists());
}
