//! From the flags to a scenario.

use anyhow::{Context, Result};
use understory_lab::report::StartState;
use understory_lab::scenario::{self, Prompt, Scenario};

use super::check_state;
use crate::cli::BenchArgs;
use crate::commands::verify_lossless::prompts;
use crate::exit::usage;
use crate::methods;

/// The scenario that `args` name, with what they put in place of its own. Without a draft model the methods that need
/// one are left out, unless they were asked for.
///
/// # Errors
/// A method that needs a draft model, a file of prompts that cannot be read, what [`Scenario::validate`] refuses.
pub fn scenario(args: &BenchArgs, draft: Option<&str>) -> Result<Scenario> {
    let built_in = scenario::built_in(&args.scenario).map_err(|error| usage(error.to_string()))?;
    let mut wanted = if draft.is_some() { built_in.clone() } else { built_in.clone().without_draft() };
    if !args.methods.is_empty() {
        for &name in &args.methods {
            methods::check_draft(name, draft)?;
        }
        wanted.methods = unique(args.methods.iter().flat_map(|&name| methods::defaults(name)));
    }
    if let Some(path) = &args.prompts {
        let read = prompts::read(Some(path)).context("--prompts")?;
        wanted.prompts = read.into_iter().map(|p| Prompt { id: p.id, text: p.text, tokens: None }).collect();
    }
    if !args.lengths.is_empty() {
        wanted.lengths = unique(args.lengths.iter().copied());
    }
    if !args.start.is_empty() {
        wanted.starts = unique(args.start.iter().map(|&name| StartState::from(name)));
    }
    wanted.starts.iter().try_for_each(|&state| check_state(state))?;
    wanted.runs = args.runs.unwrap_or(wanted.runs);
    wanted.limits = args.goodput;
    if !is_part(&wanted, &built_in) {
        wanted.name = "custom".into();
        wanted.purpose = "What the command line asks for.".into();
    }
    wanted.validate().map_err(|error| usage(error.to_string()))?;
    Ok(wanted)
}

/// Whether every case of `wanted` is one of `whole`.
fn is_part(wanted: &Scenario, whole: &Scenario) -> bool {
    fn within<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
        part.iter().all(|item| whole.contains(item))
    }
    within(&wanted.methods, &whole.methods)
        && within(&wanted.prompts, &whole.prompts)
        && within(&wanted.lengths, &whole.lengths)
        && within(&wanted.starts, &whole.starts)
}

/// In their order, each once: a method given twice would be compared with itself.
fn unique<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn of(flags: &str, draft: Option<&str>) -> Result<Scenario> {
        let flags = Flags::try_parse_from(["x"].into_iter().chain(flags.split_whitespace()))?;
        scenario(&flags.bench, draft)
    }

    /// A scenario that keeps its name whatever is put in fails this.
    #[test]
    fn what_is_not_the_scenarios_is_custom() {
        assert_eq!(of("", Some("d")).unwrap(), scenario::quick());
        assert_eq!(of("dynatree --lengths 100,100 --runs 2", Some("d")).unwrap().name, "dynatree");
        let custom = of("dynatree --lengths 100,7,100", Some("d")).unwrap();
        assert_eq!((custom.name.as_str(), custom.lengths), ("custom", vec![100, 7]));
        assert_eq!(of("--methods tree", Some("d")).unwrap().name, "custom");
        assert_eq!(of("--start cold", Some("d")).unwrap().starts, [StartState::Cold]);
    }

    #[test]
    fn without_a_draft_its_methods_are_left_out_or_refused() {
        let plain = of("", None).unwrap();
        assert!(plain.methods.iter().all(|method| !method.needs_draft()) && plain.methods.len() == 2);
        assert!(of("--methods ar,linear", None).is_err());
        assert!(of("nothing", None).is_err());
    }
}
