//! What `cargo metadata` says of the workspace, as plain data for the checks: the crates of the workspace with what
//! their manifests name, and the resolved graph of every package for one target.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// The table of a manifest that names a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Normal,
    Build,
    Dev,
}

impl Kind {
    /// The table's name.
    pub fn table(self) -> &'static str {
        match self {
            Self::Normal => "dependencies",
            Self::Build => "build-dependencies",
            Self::Dev => "dev-dependencies",
        }
    }
}

/// A crate of the workspace, and the names in its manifest whatever the target.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub dependencies: Vec<(String, Kind)>,
}

/// A package of the resolved graph; `dependencies` are keys of [`Graph`], those for tests left out.
#[derive(Debug)]
pub struct Package {
    pub name: String,
    pub dependencies: Vec<String>,
}

/// Every package by cargo's identifier.
pub type Graph = BTreeMap<String, Package>;

/// Asks cargo; the graph is that of `target`.
///
/// # Errors
/// If cargo fails, or answers otherwise than its format version 1 does.
pub fn read(target: &str) -> Result<(Vec<Member>, Graph)> {
    let mut command = process::cargo();
    command.args(["metadata", "--format-version", "1", "--filter-platform", target]);
    parse(&process::capture(&mut command)?)
}

fn parse(json: &str) -> Result<(Vec<Member>, Graph)> {
    let root: Value = serde_json::from_str(json).context("cargo metadata prints no JSON")?;
    let members: Vec<&str> = list(&root, "workspace_members")?.iter().filter_map(Value::as_str).collect();
    let (mut crates, mut names) = (Vec::new(), BTreeMap::new());
    for package in list(&root, "packages")? {
        let (id, name) = (text(package, "id")?, text(package, "name")?);
        names.insert(id, name);
        if members.contains(&id) {
            let dependencies = list(package, "dependencies")?.iter().map(dependency).collect::<Result<_>>()?;
            crates.push(Member { name: name.to_owned(), dependencies });
        }
    }
    let mut graph = Graph::new();
    for node in list(&root["resolve"], "nodes")? {
        let id = text(node, "id")?;
        let mut dependencies = Vec::new();
        for dependency in list(node, "deps")? {
            let for_tests = list(dependency, "dep_kinds")?.iter().all(|kind| kind["kind"] == "dev");
            if !for_tests {
                dependencies.push(text(dependency, "pkg")?.to_owned());
            }
        }
        let name = *names.get(id).with_context(|| format!("cargo metadata resolves `{id}` but does not list it"))?;
        graph.insert(id.to_owned(), Package { name: name.to_owned(), dependencies });
    }
    Ok((crates, graph))
}

fn dependency(entry: &Value) -> Result<(String, Kind)> {
    let kind = match entry["kind"].as_str() {
        None => Kind::Normal,
        Some("build") => Kind::Build,
        Some("dev") => Kind::Dev,
        Some(other) => bail!("cargo metadata names a kind of dependency that is not known here: `{other}`"),
    };
    Ok((text(entry, "name")?.to_owned(), kind))
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    value[field].as_array().with_context(|| format!("cargo metadata has no list `{field}`"))
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().with_context(|| format!("cargo metadata has no text `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of cargo 1.95's answer. Taking what only tests need into the graph, or a crate that does not belong to
    /// the workspace for a member, fails this.
    #[test]
    fn an_answer_is_read() -> Result<()> {
        let json = r#"{
            "workspace_members": ["path+file:///w/app#0.1.0"],
            "packages": [
                {"id": "path+file:///w/app#0.1.0", "name": "app", "dependencies": [
                    {"name": "serde", "kind": null}, {"name": "cc", "kind": "build"}, {"name": "tempfile", "kind": "dev"}]},
                {"id": "serde", "name": "serde", "dependencies": []},
                {"id": "tempfile", "name": "tempfile", "dependencies": []}],
            "resolve": {"nodes": [
                {"id": "path+file:///w/app#0.1.0", "deps": [
                    {"pkg": "serde", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
                    {"pkg": "tempfile", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "serde", "deps": []}, {"id": "tempfile", "deps": []}]}}"#;
        let (members, graph) = parse(json)?;
        let [app] = members.as_slice() else { bail!("one member, got {members:?}") };
        let named = |name: &str, kind| (name.to_owned(), kind);
        let expected = [named("serde", Kind::Normal), named("cc", Kind::Build), named("tempfile", Kind::Dev)];
        assert_eq!((app.name.as_str(), app.dependencies.as_slice()), ("app", expected.as_slice()));
        assert_eq!(graph["path+file:///w/app#0.1.0"].dependencies, ["serde"]);
        assert!(parse("{}").is_err());
        Ok(())
    }
}
