//! Files of reports, from wherever they come: what is wrong with one is said, and nothing large is built before its size
//! is known.

use serde::Deserialize;
use serde_json::Value;
use understory_protocol::foreign::{message, shown};
use understory_protocol::{Error, Result};

use super::{Report, Sample, VERSION, limits};

/// The largest file that is parsed. The typed parser needs a few times that.
pub const MAX_BYTES: u64 = 64 << 20;

/// Brings a report of one version to the next; entry n - 1 takes version n.
type Upgrade = fn(&mut Value);
const UPGRADES: [Upgrade; VERSION as usize - 1] = [];

/// Refuses a file by its size alone, before it is loaded.
///
/// # Errors
/// [`Error::BadFile`].
pub fn check_size(name: &str, bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(bad(name, format!("has {bytes} bytes; a report has at most {limit}. Give a report of `understory bench`")))
}

/// A report of this version or an older one. `name` stands in messages; `limit` is [`MAX_BYTES`] or less.
///
/// # Errors
/// [`Error::BadFile`] says what is wrong: too large, no JSON, no report, a newer version, more of something than a report
/// holds, or columns that disagree.
pub fn read(name: &str, bytes: &[u8], limit: u64) -> Result<Report> {
    check_size(name, bytes.len() as u64, limit)?;
    let version = version(name, bytes)?;
    let report: Report = if version == VERSION {
        serde_json::from_slice(bytes).map_err(|error| malformed(name, version, &error))?
    } else {
        let mut value: Value = serde_json::from_slice(bytes).map_err(|error| malformed(name, version, &error))?;
        upgrade(&mut value, version, &UPGRADES);
        serde_json::from_value(value).map_err(|error| malformed(name, version, &error))?
    };
    check(&report).map_err(|reason| bad(name, reason))?;
    Ok(report)
}

/// Version of the schema that the file names; nothing else of it is kept.
fn version(name: &str, bytes: &[u8]) -> Result<u32> {
    #[derive(Deserialize)]
    struct Head {
        schema: Option<Id>,
    }
    #[derive(Deserialize)]
    struct Id {
        version: u32,
    }
    let advice = "Give a report.json of `understory bench` or of the page";
    let head: Head = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => bad(name, format!("is no report ({error}). {advice}")),
        _ => bad(name, format!("is not JSON, or cut short ({error}). {advice}")),
    })?;
    match head.schema.map(|id| id.version) {
        None => Err(bad(name, format!("is no report: it has no `schema`. {advice}"))),
        Some(0) => Err(bad(name, format!("names version 0 of the schema; versions begin with 1. {advice}"))),
        Some(version) if version > VERSION => Err(bad(
            name,
            format!("is of version {version}; this program knows up to {VERSION}. Use a newer `understory` or page"),
        )),
        Some(version) => Ok(version),
    }
}

/// Takes `value` from `version` to the last one that `upgrades` lead to.
fn upgrade(value: &mut Value, version: u32, upgrades: &[Upgrade]) {
    for step in upgrades.iter().skip(version as usize - 1) {
        step(value);
    }
}

fn malformed(name: &str, version: u32, error: &serde_json::Error) -> Error {
    bad(name, format!("names version {version} of the report's schema but does not follow it: {error}"))
}

fn bad(name: &str, reason: String) -> Error {
    // It may quote the file.
    Error::BadFile { file: name.into(), reason: message(&reason).replace('\n', "?") }
}

/// What the types leave open.
fn check(report: &Report) -> Result<(), String> {
    limits::check(report)?;
    for (index, of) in report.cases.iter().enumerate() {
        let place = format!("cases[{index}]");
        let (stated, is) = (&of.case.hash, of.case.fingerprint());
        if report.schema.version == VERSION && *stated != is {
            let stated = shown(stated);
            return Err(format!("{place}.case.hash is {stated}, its contents give {is}: the file was changed"));
        }
        for (nth, sample) in of.samples.iter().enumerate() {
            check_sample(sample).map_err(|reason| format!("{place}.samples[{nth}]: {reason}"))?;
        }
    }
    for (index, ratio) in report.ratios.iter().enumerate() {
        if ratio.case.max(ratio.baseline) >= report.cases.len() {
            return Err(format!("ratios[{index}] names a case that is not there"));
        }
    }
    Ok(())
}

fn check_sample(sample: &Sample) -> Result<(), String> {
    let (times, tokens) = (&sample.emissions.at_ms, &sample.emissions.tokens);
    if times.len() != tokens.len() {
        return Err(format!("{} times of emissions, but {} counts of tokens", times.len(), tokens.len()));
    }
    if !times.is_sorted() || times.first().is_some_and(|&at| at < 0.0) {
        return Err("times of emissions must ascend from 0".into());
    }
    if tokens.contains(&0) {
        return Err("an emission without tokens".into());
    }
    if sample.reused_tokens > sample.prompt_tokens {
        return Err(format!("{} of {} prompt tokens reused", sample.reused_tokens, sample.prompt_tokens));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
