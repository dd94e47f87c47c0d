//! From the flags to the engine's methods, with the defaults, and back to words.

use anyhow::Result;
use understory_protocol::{Method, NodeOrigin, RoundMode, Schedule};

use crate::cli::{DraftArgs, MethodName, RunArgs, ScheduleName, SpeculationArgs};
use crate::exit::usage;

/// What the flags ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// the draft model to load, named as for `--model`
    pub draft: Option<String>,
    pub method: Method,
    pub synthetic_acceptance: Option<f32>,
}

/// The draft model for the target `model`: the one asked for, or the bundled target's own.
pub fn draft(args: &DraftArgs, model: &str) -> Option<String> {
    match args.draft.as_deref() {
        Some("none") => None,
        Some(name) => Some(name.to_owned()),
        None => (model == "tales").then(|| "tales-draft".to_owned()),
    }
}

/// What `run` asks for.
///
/// # Errors
/// Usage errors: a flag that the method does not use, a method that needs a draft model where there is none.
pub fn plan(run: &RunArgs) -> Result<Plan> {
    let args = &run.speculation;
    let draft = draft(&run.draft, &run.load.model);
    let default = if draft.is_some() { MethodName::Auto } else { MethodName::Ar };
    let name = args.method.unwrap_or(default);
    check_flags(args, name)?;
    if run.draft.draft.is_some() && draft.is_some() && !name.takes_draft() {
        return Err(usage(format!("--draft is not used by --method {}; leave one of them out", name.as_str())));
    }
    check_draft(name, draft.as_deref())?;
    let draft = draft.filter(|_| name.takes_draft());
    Ok(Plan { draft, method: method(args, name), synthetic_acceptance: args.synthetic_acceptance })
}

/// A usage error where `name` needs a draft model and there is none.
pub fn check_draft(name: MethodName, draft: Option<&str>) -> Result<()> {
    if name.needs_draft() && draft.is_none() {
        return Err(usage(format!(
            "--method {} needs a draft model: give one with --draft, a smaller model with the same vocabulary",
            name.as_str()
        )));
    }
    Ok(())
}

/// `name` with its default parameters: both schedules of `assisted`, else one.
pub fn defaults(name: MethodName) -> Vec<Method> {
    match name {
        MethodName::Ar => vec![Method::Ar],
        MethodName::Linear => vec![Method::LINEAR],
        MethodName::Tree => vec![Method::TREE],
        MethodName::Dynatree => vec![Method::DynaTree],
        MethodName::Assisted => vec![Method::HEURISTIC, Method::CONFIDENCE],
        MethodName::Lookup => vec![Method::LOOKUP],
        MethodName::Auto => vec![Method::Auto],
    }
}

/// `name` with the parameters given, the others by default.
fn method(args: &SpeculationArgs, name: MethodName) -> Method {
    let default = match (name, args.schedule) {
        (MethodName::Assisted, Some(ScheduleName::Confidence)) => Method::CONFIDENCE,
        _ => defaults(name)[0],
    };
    match default {
        Method::Ar | Method::DynaTree | Method::Auto => default,
        Method::Linear { k } => Method::Linear { k: args.k.unwrap_or(k) },
        Method::Tree { depth, branch, tau, budget } => Method::Tree {
            depth: args.depth.unwrap_or(depth),
            branch: args.branch.unwrap_or(branch),
            tau: args.tau.unwrap_or(tau),
            budget: args.budget.unwrap_or(budget),
        },
        Method::Assisted { schedule: Schedule::Heuristic { start } } => {
            Method::Assisted { schedule: Schedule::Heuristic { start: args.start.unwrap_or(start) } }
        }
        Method::Assisted { schedule: Schedule::Confidence { most, threshold } } => Method::Assisted {
            schedule: Schedule::Confidence {
                most: args.most.unwrap_or(most),
                threshold: args.threshold.unwrap_or(threshold),
            },
        },
        Method::Lookup { ngram, tokens } => {
            Method::Lookup { ngram: args.ngram.unwrap_or(ngram), tokens: args.tokens.unwrap_or(tokens) }
        }
    }
}

/// A usage error for the first flag that means nothing to `name`: it would be ignored silently.
fn check_flags(args: &SpeculationArgs, name: MethodName) -> Result<()> {
    let schedule = args.schedule.unwrap_or(ScheduleName::Heuristic);
    let assisted = name == MethodName::Assisted;
    let (heuristic, confidence) = (ScheduleName::Heuristic, ScheduleName::Confidence);
    let flags = [
        ("--k", args.k.is_some(), name == MethodName::Linear, "--method linear"),
        ("--depth", args.depth.is_some(), name == MethodName::Tree, "--method tree"),
        ("--branch", args.branch.is_some(), name == MethodName::Tree, "--method tree"),
        ("--tau", args.tau.is_some(), name == MethodName::Tree, "--method tree"),
        ("--budget", args.budget.is_some(), name == MethodName::Tree, "--method tree"),
        ("--schedule", args.schedule.is_some(), assisted, "--method assisted"),
        ("--start", args.start.is_some(), assisted && schedule == heuristic, "--method assisted --schedule heuristic"),
        ("--most", args.most.is_some(), assisted && schedule == confidence, "--method assisted --schedule confidence"),
        (
            "--threshold",
            args.threshold.is_some(),
            assisted && schedule == confidence,
            "--method assisted --schedule confidence",
        ),
        ("--ngram", args.ngram.is_some(), name == MethodName::Lookup, "--method lookup"),
        ("--tokens", args.tokens.is_some(), name == MethodName::Lookup, "--method lookup"),
        (
            "--synthetic-acceptance",
            args.synthetic_acceptance.is_some(),
            name != MethodName::Ar,
            "methods that speculate",
        ),
    ];
    let Some((flag, _, _, owner)) = flags.into_iter().find(|(_, given, used, _)| *given && !used) else {
        return Ok(());
    };
    let default = if args.method.is_none() { " (the default here)" } else { "" };
    let schedule = if assisted { format!(" --schedule {}", schedule.as_str()) } else { String::new() };
    let method = name.as_str();
    Err(usage(format!("{flag} is not used by --method {method}{schedule}{default}; it is for {owner}")))
}

pub fn mode(mode: RoundMode) -> &'static str {
    match mode {
        RoundMode::Plain => "plain",
        RoundMode::Lookup => "lookup",
        RoundMode::Draft => "draft",
    }
}

pub fn origin(origin: NodeOrigin) -> String {
    match origin {
        NodeOrigin::Root => "root".into(),
        NodeOrigin::Draft { rank } => format!("#{rank}"),
        NodeOrigin::Lookup => "lookup".into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        run: RunArgs,
    }

    fn plan_of(model: &str, flags: &str) -> Result<Plan> {
        let flags = Flags::try_parse_from(["x", "--model", model].into_iter().chain(flags.split_whitespace()))?;
        plan(&flags.run)
    }

    #[test]
    fn defaults_follow_the_draft() {
        let plans = |model, flags| plan_of(model, flags).map(|plan| (plan.draft, plan.method)).unwrap();
        let bundled = Some("tales-draft".to_owned());
        assert_eq!(plans("tales", ""), (bundled.clone(), Method::Auto));
        assert_eq!(plans("tales", "--draft none"), (None, Method::Ar));
        assert_eq!(plans("tales-draft", ""), (None, Method::Ar));
        assert_eq!(plans("./other", "--draft d"), (Some("d".into()), Method::Auto));
        assert_eq!(plans("tales", "--method linear"), (bundled, Method::LINEAR));
        // What a method does not use is not loaded.
        assert_eq!(plans("tales", "--method ar"), (None, Method::Ar));
        assert_eq!(plans("tales", "--method lookup"), (None, Method::LOOKUP));
        assert_eq!(plans("./other", "--method auto"), (None, Method::Auto));
    }

    #[test]
    fn parameters_go_where_they_belong() {
        let method = |flags| plan_of("tales", flags).unwrap().method;
        assert_eq!(
            method("--method tree --depth 4 --branch 3 --tau 0.1 --budget 9"),
            Method::Tree { depth: 4, branch: 3, tau: 0.1, budget: 9 }
        );
        assert_eq!(method("--method linear --k 63"), Method::Linear { k: 63 });
        assert_eq!(method("--method lookup --ngram 2 --tokens 5"), Method::Lookup { ngram: 2, tokens: 5 });
        let assisted = |schedule| Method::Assisted { schedule };
        assert_eq!(method("--method assisted --start 7"), assisted(Schedule::Heuristic { start: 7 }));
        assert_eq!(
            method("--method assisted --schedule confidence --most 9 --threshold 0.5"),
            assisted(Schedule::Confidence { most: 9, threshold: 0.5 })
        );
        assert_eq!(plan_of("tales", "--synthetic-acceptance 0.8").unwrap().synthetic_acceptance, Some(0.8));
    }

    /// The help states the defaults as text.
    #[test]
    fn the_help_states_the_defaults() {
        let methods = [Method::LINEAR, Method::TREE, Method::HEURISTIC, Method::CONFIDENCE, Method::LOOKUP];
        let methods = methods.map(|method| method.to_string()).join(" ");
        let words = methods.replace([',', '(', ')'], "") + " ";
        let command = Flags::command();
        for flag in ["k", "depth", "branch", "tau", "budget", "start", "most", "threshold", "ngram", "tokens"] {
            let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag)).unwrap();
            let help = argument.get_help().unwrap().to_string();
            let default = help.split_once("[default: ").and_then(|(_, rest)| rest.strip_suffix(']')).unwrap();
            assert!(words.contains(&format!(" {flag} {default} ")), "--{flag} {default}: {words}");
        }
    }

    #[test]
    fn words_name_every_parameter() {
        assert_eq!(Method::TREE.to_string(), "tree (depth 6, branch 2, tau 0.05, budget 63)");
        assert_eq!(Method::CONFIDENCE.to_string(), "assisted (confidence, most 20, threshold 0.4)");
    }
}
