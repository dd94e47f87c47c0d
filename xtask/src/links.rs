//! The documents' links: every relative link and every `#anchor` in a Markdown file leads somewhere, and every path that
//! a document names in code type exists. Links to other hosts are not followed: a check must not fail with a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::markdown::{self, Document};
use crate::process;

/// Documents whose code-type paths are not of today: what changed, and what a run printed when it was made.
const OF_ANOTHER_TIME: [&str; 2] = ["CHANGELOG.md", "bench/runs/"];
/// What builds make, named in documents all the same.
const GENERATED: [&str; 3] = ["target", "web/dist", "web/tests/node_modules"];
/// Names that are paths of sources, wherever they begin.
const SOURCES: [&str; 7] = [".rs", ".wgsl", ".wesl", ".mjs", ".md", ".toml", ".sh"];

/// Checks every Markdown file of the repository.
///
/// # Errors
/// If one cannot be read, or leads nowhere; the message names every such place.
pub fn check() -> Result<()> {
    let root = process::root()?;
    let mut files = BTreeSet::new();
    let ignored = fs::read_to_string(root.join(".gitignore")).context("cannot read .gitignore")?;
    list(&root, "", &ignored, &mut files)?;
    let mut documents = BTreeMap::new();
    for path in files.iter().filter(|path| path.ends_with(".md")) {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        documents.insert(path.clone(), markdown::read(&text));
    }
    let broken = broken(&documents, &files);
    if !broken.is_empty() {
        bail!("these lead nowhere:\n  {}", broken.join("\n  "));
    }
    let links: usize = documents.values().map(|document| document.links.len()).sum();
    eprintln!("{links} links in {} documents", documents.len());
    Ok(())
}

/// The files under `folder` by their path from the root, without what `.gitignore` names and without build folders.
/// Not git's own list: an archive of the sources is checked as well.
fn list(root: &Path, folder: &str, ignored: &str, files: &mut BTreeSet<String>) -> Result<()> {
    let here = root.join(folder);
    for entry in fs::read_dir(&here).with_context(|| format!("cannot list {}", here.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = join(folder, &name);
        if name == ".git" || ignored.lines().any(|line| line == name || line.strip_prefix('/') == Some(&path)) {
            continue;
        }
        if !entry.file_type()?.is_dir() {
            files.insert(path);
        } else if !entry.path().join("CACHEDIR.TAG").exists() {
            list(root, &path, ignored, files)?;
        }
    }
    Ok(())
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A line for everything in `documents` that leads nowhere; `files` is every path of the repository.
fn broken(documents: &BTreeMap<String, Document>, files: &BTreeSet<String>) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, document) in documents {
        for (line, link) in &document.links {
            if let Some(why) = leads_nowhere(path, link, documents, files) {
                broken.push(format!("{path}:{line}: {link}: {why}"));
            }
        }
        if OF_ANOTHER_TIME.iter().any(|other| path.starts_with(other)) {
            continue;
        }
        for (line, code) in &document.code {
            if names_a_path(code, files) && !is_known(path, code, files) {
                broken.push(format!("{path}:{line}: `{code}`: no such file or folder"));
            }
        }
    }
    broken
}

fn leads_nowhere(
    from: &str,
    link: &str,
    documents: &BTreeMap<String, Document>,
    files: &BTreeSet<String>,
) -> Option<String> {
    let scheme = link.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
    if scheme || link.starts_with("//") {
        return None;
    }
    let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let target = if target.is_empty() { Some(from.to_owned()) } else { resolve(from, &target.replace("%20", " ")) };
    let Some(target) = target else { return Some("outside of the repository".into()) };
    if !exists(&target, files) {
        return Some(format!("no file or folder {target}"));
    }
    let anchor = anchor.filter(|anchor| !anchor.is_empty())?;
    let document = documents.get(&target)?;
    (!document.anchors.contains(anchor)).then(|| format!("no heading of {target} has this anchor"))
}

/// `link` as seen from the document `from`, as a path from the root; none if it leaves the root.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = if link.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Whether `path` is a file, a folder, or the root.
fn exists(path: &str, files: &BTreeSet<String>) -> bool {
    let folder = format!("{path}/");
    let inside = files.range(folder.clone()..).next();
    path.is_empty() || files.contains(path) || inside.is_some_and(|file| file.starts_with(&folder))
}

/// Whether a piece of code type is meant as a path of this repository: it begins with one of its folders, or it ends as
/// its sources do. Patterns and placeholders are no paths.
fn names_a_path(code: &str, files: &BTreeSet<String>) -> bool {
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c));
    let Some((first, _)) = code.split_once('/') else { return false };
    let source = SOURCES.iter().any(|end| without_line(code).ends_with(end));
    plain
        && !code.contains("//")
        && !first.is_empty()
        && (source || first != "." && first != ".." && exists(first, files))
}

/// From the root, from the document's folder, or (in the text about one part) the end of a path.
fn is_known(from: &str, code: &str, files: &BTreeSet<String>) -> bool {
    let code = without_line(code).trim_end_matches('/');
    let generated = GENERATED.iter().any(|made| code == *made || code.starts_with(&format!("{made}/")));
    let (end, middle) = (format!("/{code}"), format!("/{code}/"));
    generated
        || [resolve("", code), resolve(from, code)].iter().flatten().any(|path| exists(path, files))
        || files.iter().any(|file| file.ends_with(&end) || file.contains(&middle))
}

/// `file.rs:12` without its line.
fn without_line(code: &str) -> &str {
    code.split_once(':').map_or(code, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(documents: &[(&str, &str)]) -> Vec<String> {
        let mut files: BTreeSet<String> =
            ["LICENSE", "web/static/index.html", "xtask/src/links.rs"].map(str::to_owned).into();
        files.extend(documents.iter().map(|(path, _)| (*path).to_owned()));
        let documents =
            documents.iter().map(|(path, text)| ((*path).to_owned(), markdown::read(text))).collect::<BTreeMap<_, _>>();
        broken(&documents, &files)
    }

    /// Links are seen from the document's folder, not from the root; a folder is a target too.
    #[test]
    fn links_are_seen_from_the_document() {
        let good = "[a](../LICENSE) [b](../web/static) [c](/xtask/src/links.rs) [d](.) [e](https://example.org/x#y)";
        assert_eq!(check(&[("docs/a.md", good)]), [""; 0]);
        assert_eq!(
            check(&[("docs/a.md", "\n[a](LICENSE)\n[b](../../x)")]),
            ["docs/a.md:2: LICENSE: no file or folder docs/LICENSE", "docs/a.md:3: ../../x: outside of the repository"]
        );
        assert_eq!(check(&[("a.md", "[a](xtask/sr)")]).len(), 1, "a part of a name is no folder");
    }

    /// A check of files alone lets a renamed heading pass.
    #[test]
    fn anchors_are_headings_of_the_target() {
        let docs = |link: &str| check(&[("docs/a.md", "# What it's for"), ("README.md", &format!("# Top\n\n{link}"))]);
        assert_eq!(docs("[a](docs/a.md#what-its-for) [b](#top) [c](docs/a.md)"), [""; 0]);
        assert_eq!(docs("[a](docs/a.md#top)"), ["README.md:3: docs/a.md#top: no heading of docs/a.md has this anchor"]);
        assert_eq!(docs("[a](#what-its-for)").len(), 1);
    }

    /// Words with a slash are no paths, and a path may be written from inside the part that the text is about.
    #[test]
    fn paths_in_code_type_exist() {
        let good = "`xtask/src/links.rs:12` `src/links.rs` `web/dist/page.js` `links.rs` `tok/s` `xtask/src/` \
                    `text/plain` `web/*.mjs` `org/model` `https://example.org/a.md`";
        assert_eq!(check(&[("README.md", good)]), [""; 0]);
        let bad = "`xtask/src/link.rs` `engine/old.rs` `web/stat`";
        assert_eq!(check(&[("README.md", bad)]).len(), 3);
        assert_eq!(check(&[("CHANGELOG.md", bad)]), [""; 0]);
    }
}
