//! The order of the workspace's crates: which may name which. An arrow that runs the other way compiles, so nothing but
//! this check keeps the parts apart that a reader, or the page's build, relies on being apart.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};

use crate::metadata::{self, Graph, Kind, Member};
use crate::wasm;

/// Every crate from the bottom up, and what it may depend on. What only its tests and benchmarks need may be any crate
/// above it in this list.
const ORDER: &[(&str, &[&str])] = &[
    ("understory-features", &[]),
    ("understory-charts", &[]),
    ("understory-protocol", &[]),
    ("understory-shaders", &[]),
    (PAGE, &["understory-protocol", "understory-charts"]),
    ("understory-template", &[]),
    ("understory-model", &["understory-protocol", "understory-template"]),
    ("understory-speculation", &["understory-protocol"]),
    (
        "understory-runtime",
        &["understory-protocol", "understory-model", "understory-speculation", "understory-shaders"],
    ),
    ("understory-lab", &["understory-protocol", "understory-model", "understory-shaders", "understory-charts"]),
    (
        "understory-session",
        &["understory-protocol", "understory-model", "understory-runtime", "understory-lab", "understory-shaders"],
    ),
    ("understory-learn", &["understory-protocol", "understory-model"]),
    (
        "understory-web-worker",
        &[
            "understory-protocol",
            "understory-model",
            "understory-runtime",
            "understory-lab",
            "understory-session",
            "understory-shaders",
        ],
    ),
    (
        "understory",
        &[
            "understory-features",
            "understory-charts",
            "understory-protocol",
            "understory-shaders",
            "understory-model",
            "understory-runtime",
            "understory-lab",
            "understory-session",
        ],
    ),
    // Its tests alone depend on what they try.
    ("understory-fuzz", &[]),
    ("understory-bindgen", &[]),
    ("xtask", &[]),
];

/// The interface in the browser: on screen before the engine is loaded, so none of the engine's weight may be in it.
const PAGE: &str = "understory-web-page";
const NOT_IN_PAGE: [&str; 5] = ["wgpu", "naga", "tokenizers", "minijinja", "understory-template"];

/// Checks the workspace as it is.
///
/// # Errors
/// If cargo cannot tell the dependencies, or one is not allowed; the message names every such arrow.
pub fn check() -> Result<()> {
    let (members, graph) = metadata::read(wasm::TARGET)?;
    let mut wrong = wrong_arrows(ORDER, &members);
    wrong.extend(heavy(&graph, PAGE, &NOT_IN_PAGE));
    if !wrong.is_empty() {
        bail!("the order of crates stands in xtask/src/crate_order.rs:\n  {}", wrong.join("\n  "));
    }
    eprintln!("{} crates, each of which depends on what lies beneath it only", members.len());
    Ok(())
}

/// A sentence for every dependency between `members` that `order` does not allow.
fn wrong_arrows(order: &[(&str, &[&str])], members: &[Member]) -> Vec<String> {
    let place = |name: &str| order.iter().position(|(crate_name, _)| *crate_name == name);
    let mut wrong = Vec::new();
    for member in members {
        let Some(own) = place(&member.name) else {
            wrong.push(format!("{} has no place in the order of crates", member.name));
            continue;
        };
        let allowed = order[own].1;
        for (name, kind) in &member.dependencies {
            let of_workspace = members.iter().any(|other| other.name == *name);
            let beneath = *kind == Kind::Dev && place(name).is_some_and(|other| other < own);
            if of_workspace && !beneath && !allowed.contains(&name.as_str()) {
                let may = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
                let table = kind.table();
                wrong.push(format!("{} depends on {name} ({table}); it may depend on: {may}", member.name));
            }
        }
    }
    wrong
}

/// The shortest chain of packages from the crate `from` to each of `unwanted` that it reaches.
fn heavy(graph: &Graph, from: &str, unwanted: &[&str]) -> Vec<String> {
    let mut reached_by: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut queue: VecDeque<&str> = VecDeque::new();
    if let Some((id, _)) = graph.iter().find(|(_, package)| package.name == from) {
        reached_by.insert(id, None);
        queue.push_back(id);
    }
    let mut chains = Vec::new();
    while let Some(id) = queue.pop_front() {
        let Some(package) = graph.get(id) else { continue };
        if unwanted.contains(&package.name.as_str()) {
            let mut chain = vec![package.name.as_str()];
            let mut at = id;
            while let Some(before) = reached_by.get(at).copied().flatten() {
                chain.push(graph[before].name.as_str());
                at = before;
            }
            chain.reverse();
            chains.push(format!("{from} must not contain {}: {}", package.name, chain.join(" -> ")));
        }
        for next in &package.dependencies {
            if !reached_by.contains_key(next.as_str()) {
                reached_by.insert(next, Some(id));
                queue.push_back(next);
            }
        }
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;

    fn member(name: &str, dependencies: &[(&str, Kind)]) -> Member {
        let dependencies = dependencies.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Member { name: name.to_owned(), dependencies }
    }

    /// The arrow that compiles and must not be: the model's files knowing the device. A check of names alone, or one
    /// that takes a development dependency upwards for one downwards, fails this.
    #[test]
    fn an_arrow_backwards_is_named() {
        let (model, runtime) = ("understory-model", "understory-runtime");
        for (kind, table) in
            [(Kind::Normal, "dependencies"), (Kind::Build, "build-dependencies"), (Kind::Dev, "dev-dependencies")]
        {
            let planted = [member(model, &[(runtime, kind), ("serde", kind)]), member(runtime, &[])];
            let message = format!(
                "{model} depends on {runtime} ({table}); it may depend on: understory-protocol, understory-template"
            );
            assert_eq!(wrong_arrows(ORDER, &planted), [message]);
        }
        let right = [member(model, &[]), member(runtime, &[(model, Kind::Normal)])];
        assert!(wrong_arrows(ORDER, &right).is_empty());
    }

    /// Benchmarks of the burn models run against the engine: allowed to them, not to the models themselves.
    #[test]
    fn tests_may_use_any_crate_beneath() {
        let with = |kind| {
            wrong_arrows(
                ORDER,
                &[member("understory-learn", &[("understory-runtime", kind)]), member("understory-runtime", &[])],
            )
        };
        assert!(with(Kind::Dev).is_empty());
        assert_eq!(with(Kind::Normal).len(), 1);
    }

    /// A crate that nobody placed would be checked for nothing.
    #[test]
    fn every_crate_has_a_place() {
        assert_eq!(
            wrong_arrows(ORDER, &[member("understory-new", &[])]),
            ["understory-new has no place in the order of crates"]
        );
    }

    /// What the list allows must itself run upwards in the list, and name crates of the list.
    #[test]
    fn the_order_is_one() {
        for (place, (name, allowed)) in ORDER.iter().enumerate() {
            for other in *allowed {
                assert!(ORDER[..place].iter().any(|(beneath, _)| beneath == other), "{name} may not name {other}");
            }
        }
    }

    /// Looking at the page's own manifest only fails this: the weight comes through another crate.
    #[test]
    fn weight_is_found_behind_another_crate() {
        let package = |name: &str, dependencies: &[&str]| {
            let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
            (name.to_owned(), Package { name: name.to_owned(), dependencies })
        };
        let graph = Graph::from([
            package(PAGE, &["leptos", "understory-lab"]),
            package("understory-lab", &["serde", "understory-model"]),
            package("understory-model", &["tokenizers", "understory-lab"]),
            package("tokenizers", &[]),
            package("naga", &[]),
        ]);
        let chain = "understory-web-page must not contain tokenizers: \
                     understory-web-page -> understory-lab -> understory-model -> tokenizers";
        assert_eq!(heavy(&graph, PAGE, &NOT_IN_PAGE), [chain]);
    }
}
