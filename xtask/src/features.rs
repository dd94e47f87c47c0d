//! Whether the program built alone has the same third-party features as the program built with the tests. Where one
//! differs, cargo compiles that crate and all that uses it twice: minutes, of which no test would tell.
//!
//! `xtask/features` names the features; this says which are missing from it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::{process, test};

/// Feature sets of every package by `name vVERSION`: one for the build itself, perhaps another for build scripts.
type Sets = BTreeMap<String, BTreeSet<String>>;

/// Compares the features of the program with those of the tests, on this machine's target.
///
/// # Errors
/// If cargo cannot tell them, or a package of the program has others in the tests.
pub fn check() -> Result<()> {
    let tree = |selection: &[&str]| -> Result<Sets> {
        let mut command = process::cargo();
        command.args(["tree", "--prefix", "none", "--format", "{p}|{f}"]);
        Ok(parse(&process::capture(command.args(selection))?))
    };
    let program = tree(&["--edges", "normal,build", "--package", "understory"])?;
    let mut with_tests = vec!["--edges", "normal,build,dev", "--workspace"];
    with_tests.extend(test::APART.iter().flat_map(|name| ["--exclude", *name]));
    let different = differences(&program, &tree(&with_tests)?);
    if !different.is_empty() {
        bail!(
            "built alone, the program has other features than in the tests; add them to xtask/features/Cargo.toml:\n  {}",
            different.join("\n  ")
        );
    }
    eprintln!("{} packages, each with the same features in the program and in the tests", program.len());
    Ok(())
}

/// Lines `name vVERSION (where it lies)|feature,feature`, with ` (*)` behind one that stands above already.
fn parse(tree: &str) -> Sets {
    let mut sets = Sets::new();
    for (package, features) in tree.lines().filter_map(|line| line.split_once('|')) {
        let name: Vec<&str> = package.split(' ').take(2).collect();
        let features = features.strip_suffix(" (*)").unwrap_or(features);
        sets.entry(name.join(" ")).or_default().insert(features.to_owned());
    }
    sets
}

/// The packages of the program that have a set of features which they do not have in the tests, with what the tests add.
/// A further set in the tests is a compilation of theirs, which the program does not take part in.
fn differences(program: &Sets, tests: &Sets) -> Vec<String> {
    let empty = BTreeSet::new();
    let mut different = Vec::new();
    for (package, sets) in program {
        let others = tests.get(package).unwrap_or(&empty);
        if !sets.is_subset(others) {
            let added: BTreeSet<&str> = features(others).difference(&features(sets)).copied().collect();
            let added = if added.is_empty() { others.iter().map(String::as_str).collect() } else { added };
            different.push(format!("{package}: {}", added.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    different
}

fn features(sets: &BTreeSet<String>) -> BTreeSet<&str> {
    sets.iter().flat_map(|set| set.split(',')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str =
        "understory v0.1.0 (/w/app)|\nserde v1.0.229|derive,std\nsyn v2.0.119|full\nsyn v3.0.9|full\n";

    /// Packages that only tests have do not count, and a package is that of one version. Comparing the lists of
    /// packages fails the first; comparing names without versions the second.
    #[test]
    fn the_features_that_tests_add_are_named() {
        let program = parse(PROGRAM);
        let with = |tests: &str| differences(&program, &parse(tests));
        assert!(with(&format!("{PROGRAM}burn v0.22.1|wgpu\n")).is_empty());
        assert_eq!(with(&PROGRAM.replace("derive,std", "derive,rc,std")), ["serde v1.0.229: rc"]);
        assert_eq!(with(&PROGRAM.replace("v3.0.9|full", "v3.0.9|full,visit-mut")), ["syn v3.0.9: visit-mut"]);
    }

    /// burn's own use of a package is no difference, but two uses with other features each are. Comparing all features
    /// that a package has anywhere fails this.
    #[test]
    fn sets_are_compared_as_they_are_compiled() {
        let with = |tests: &str| differences(&parse(PROGRAM), &parse(tests));
        assert!(with(&format!("{PROGRAM}serde v1.0.229|std (*)\n")).is_empty());
        assert_eq!(with(&PROGRAM.replace("derive,std", "derive\nserde v1.0.229|std")), ["serde v1.0.229: derive,std"]);
    }
}
