//! How much a report may hold. Every figure, table and chart is made of all of it, some several times over, so these
//! bounds are what keeps any file's work to a few seconds. A measured report is far from each of them.

use std::collections::HashSet;

use understory_protocol::{Method, foreign};

use super::{CaseReport, Report, Sample};
use crate::scenario::MOST_CASES;

/// Measured runs of all cases.
pub const MOST_RUNS: usize = 50_000;
/// Characters of a name: of a device, a prompt, a model, a phase.
pub const LONGEST_NAME: usize = 300;

/// Resamples of an interval: more than anybody takes.
const MOST_RESAMPLES: usize = 100_000;
/// Different methods, parameters included.
const MOST_METHODS: usize = 64;
/// Different names of phases in the whole report, and phases of one run.
const MOST_PHASES: usize = 100;
/// Depths of a tree.
const MOST_DEPTHS: usize = 64;
/// Flags of a case, or of the report.
const MOST_FLAGS: usize = 100;
/// Metrics of a case.
const MOST_METRICS: usize = 64;
/// Quantiles of a metric.
const MOST_QUANTILES: usize = 16;
/// Tokens of a run's prompt.
const MOST_PROMPT_TOKENS: usize = 1 << 30;
/// Tokens of all runs: more than have room in a file as moments of their own.
const MOST_TOKENS: u64 = 1 << 22;

/// # Errors
/// Says which part of the report there is too much of, and how much it may be.
pub fn check(report: &Report) -> Result<(), String> {
    at_most("protocol.resamples", "", report.protocol.resamples, MOST_RESAMPLES)?;
    at_most("cases", "entries", report.cases.len(), MOST_CASES)?;
    at_most("cases", "runs in all", report.cases.iter().map(|of| of.samples.len()).sum(), MOST_RUNS)?;
    at_most("ratios", "entries", report.ratios.len(), MOST_METRICS * report.cases.len())?;
    at_most("flags", "entries", report.flags.len(), MOST_FLAGS)?;
    at_most("loading", "entries", report.loading.len(), MOST_PHASES)?;
    check_names(report)?;
    let (mut methods, mut phases, mut tokens) = (Vec::<Method>::new(), HashSet::new(), 0_u64);
    for (index, of) in report.cases.iter().enumerate() {
        if !methods.contains(&of.case.method) {
            methods.push(of.case.method);
        }
        at_most("cases", "different methods", methods.len(), MOST_METHODS)?;
        check_case(of).map_err(|reason| format!("cases[{index}].{reason}"))?;
        for (nth, sample) in of.samples.iter().enumerate() {
            let place = |reason| format!("cases[{index}].samples[{nth}].{reason}");
            check_sample(sample).map_err(place)?;
            phases.extend(sample.phases.iter().map(|phase| phase.name.as_str()));
            at_most("cases", "different names of phases", phases.len(), MOST_PHASES)?;
            tokens += sample.emissions.tokens.iter().map(|&n| u64::from(n)).sum::<u64>();
            if tokens > MOST_TOKENS {
                return Err(format!("cases has more than {MOST_TOKENS} tokens in all"));
            }
        }
    }
    Ok(())
}

fn check_names(report: &Report) -> Result<(), String> {
    let (device, model) = (&report.device, &report.model);
    let names = [
        ("run_id", Some(&report.run_id)),
        ("started_at", Some(&report.started_at)),
        ("engine.version", Some(&report.engine.version)),
        ("runtime.backend", Some(&report.runtime.backend)),
        ("runtime.browser.name", report.runtime.browser.as_ref().map(|browser| &browser.name)),
        ("runtime.browser.version", report.runtime.browser.as_ref().and_then(|browser| browser.version.as_ref())),
        ("device.label", Some(&device.label)),
        ("device.adapter.name", device.adapter.name.as_ref()),
        ("model.target.id", Some(&model.target.id)),
        ("model.target.hash", model.target.hash.as_ref()),
        ("model.target.tokenizer_hash", model.target.tokenizer_hash.as_ref()),
        ("model.draft.id", model.draft.as_ref().map(|draft| &draft.id)),
        ("model.draft.hash", model.draft.as_ref().and_then(|draft| draft.hash.as_ref())),
        ("protocol.scenario", Some(&report.protocol.scenario)),
    ];
    names.into_iter().try_for_each(|(place, name)| name.map_or(Ok(()), |name| check_name(place, name)))?;
    report.loading.iter().try_for_each(|phase| check_name("loading[].name", &phase.name))
}

fn check_case(of: &CaseReport) -> Result<(), String> {
    check_name("case.prompt.id", &of.case.prompt.id)?;
    check_name("case.prompt.hash", &of.case.prompt.hash)?;
    check_name("case.hash", &of.case.hash)?;
    at_most("flags", "entries", of.flags.len(), MOST_FLAGS)?;
    at_most("summary", "entries", of.summary.len(), MOST_METRICS)?;
    of.summary.iter().try_for_each(|of| at_most("summary[].tail", "entries", of.tail.len(), MOST_QUANTILES))?;
    let depths = of.speculation.as_ref().map_or(0, |counts| counts.by_depth.len());
    at_most("speculation.by_depth", "entries", depths, MOST_DEPTHS)
}

fn check_sample(sample: &Sample) -> Result<(), String> {
    at_most("prompt_tokens", "", sample.prompt_tokens, MOST_PROMPT_TOKENS)?;
    check_name("output_hash", &sample.output_hash)?;
    at_most("phases", "entries", sample.phases.len(), MOST_PHASES)?;
    sample.phases.iter().try_for_each(|phase| check_name("phases[].name", &phase.name))?;
    let depths = sample.speculation.as_ref().map_or(0, |counts| counts.by_depth.len());
    at_most("speculation.by_depth", "entries", depths, MOST_DEPTHS)
}

fn check_name(place: &str, name: &str) -> Result<(), String> {
    // Most names are short enough in bytes already.
    if name.len() <= LONGEST_NAME || name.chars().count() <= LONGEST_NAME {
        return Ok(());
    }
    let (count, begin) = (name.chars().count(), foreign::shown(name));
    Err(format!("{place} has {count} characters, expected {LONGEST_NAME} at most; it begins `{begin}`"))
}

/// `what` is counted; without it the number is itself the value.
fn at_most(place: &str, what: &str, count: usize, most: usize) -> Result<(), String> {
    match what {
        _ if count <= most => Ok(()),
        "" => Err(format!("{place} is {count}: expected {most} at most")),
        what => Err(format!("{place} has {count} {what}: expected {most} at most")),
    }
}

#[cfg(test)]
mod tests;
