//! The order of the page's layers, as a test: what a module names of the crate lies in its own layer or beneath it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// From the lowest to the highest.
const ORDER: [&str; 7] = ["wording", "platform", "connection", "state", "components", "views", "app"];

fn rank(layer: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == layer)
}

/// Every source file under `folder`, its path from there and its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(folder).unwrap().to_owned(), text));
            }
        }
    }
    files
}

/// The modules, at most two names deep, that a text names behind `crate::`: `state::session`, `app`.
fn named(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        paths(after, "", &mut all);
    }
    all
}

/// The first names of a path, or of each path in braces.
fn paths(text: &str, before: &str, all: &mut BTreeSet<String>) {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = text.strip_prefix('{') else {
        let first = name(text);
        match text[first.len()..].strip_prefix("::") {
            Some(rest) if before.is_empty() => paths(rest, &format!("{first}::"), all),
            _ => drop(all.insert(format!("{before}{first}"))),
        }
        return;
    };
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                let part = group[from..at].trim();
                if !part.is_empty() {
                    paths(part, before, all);
                }
                from = at + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

/// How many `super::` lead from a file to the folder that its path begins in.
fn depth(path: &Path) -> usize {
    path.iter().count() - usize::from(path.ends_with("mod.rs"))
}

/// Where an import runs upwards.
fn violations(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let own = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(own_rank) = rank(own) else { continue };
        for module in named(text) {
            let layer = module.split("::").next().unwrap();
            match rank(layer) {
                Some(rank) if rank <= own_rank => {}
                Some(_) => found.push(format!("{} names crate::{module}, which lies above it", path.display())),
                None => found.push(format!("{} names crate::{module}, which is no layer", path.display())),
            }
        }
        // `super` that leaves the layer would hide an import from this test.
        if text.contains(&"super::".repeat(depth(path))) {
            found.push(format!("{} leaves its layer by super::", path.display()));
        }
    }
    found
}

/// The modules directly in a layer, each with those of the same layer that it names.
fn within(layer: &str, files: &[(PathBuf, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in files {
        let Ok(path) = path.strip_prefix(layer) else { continue };
        let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let prefix = format!("{layer}::");
        let mut others: BTreeSet<String> =
            named(text).iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect();
        let to_layer = "super::".repeat(depth(path));
        if !to_layer.is_empty() {
            for after in text.split(&to_layer).skip(1) {
                paths(after, "", &mut others);
            }
        }
        let others = others.iter().map(|name| name.split("::").next().unwrap().to_owned());
        edges.entry(module.clone()).or_default().extend(others.filter(|other| *other != module));
    }
    edges
}

/// A circle among the modules of a layer, if there is one.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        way: &mut Vec<String>,
        edges: &BTreeMap<String, BTreeSet<String>>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        if way.iter().any(|before| before == at) {
            way.push(at.to_owned());
            return true;
        }
        if !done.insert(at.to_owned()) {
            return false;
        }
        way.push(at.to_owned());
        let found = edges.get(at).is_some_and(|others| others.iter().any(|other| walk(other, way, edges, done)));
        if !found {
            way.pop();
        }
        found
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|from| {
        let mut way = Vec::new();
        walk(from, &mut way, edges, &mut done).then_some(way)
    })
}

#[test]
fn imports_run_downwards() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 50, "{} files were found", files.len());
    assert_eq!(violations(&files), Vec::<String>::new());
}

#[test]
fn no_layer_has_a_circle() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    for layer in ORDER {
        assert_eq!(circle(&within(layer, &files)), None, "in {layer}");
    }
}

/// A scan that reads one line alone, or the first name in braces alone, fails this.
#[test]
fn an_import_upwards_is_found() {
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    let bad = [
        file("state/session/mod.rs", "use crate::{platform::clock, views::bench};"),
        file("components/ask.rs", "use crate::{\n    state::Page,\n    app,\n};"),
        file("platform/route.rs", "fn f() { crate::state::page::new() }"),
        file("connection/worker.rs", "use super::super::state;"),
        file("views/models.rs", "use crate::state::{Page, session::Stage};\nuse super::parts;"),
    ];
    let found = violations(&bad);
    assert_eq!(found.len(), 4, "{found:?}");
    for (nth, of) in ["views", "app", "state", "super"].iter().enumerate() {
        assert!(found[nth].contains(of), "{found:?}");
    }
    let round = [
        file("state/a.rs", "use super::b::{C, D};"),
        file("state/b.rs", "use crate::state::{c::E, d};"),
        file("state/c/mod.rs", "use crate::state::a::F;"),
    ];
    assert_eq!(circle(&within("state", &round)), Some(vec!["a".into(), "b".into(), "c".into(), "a".into()]));
}
