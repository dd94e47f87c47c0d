//! Reports that a person gathered, from files and links, looked at and set side by side as a page. Nothing of them is
//! trusted: each is read as a file of anybody's, and what is wrong with one is said beside its name.

use understory_protocol::foreign::message;
use understory_protocol::{Compared, Contents, Error, LoadedReport, MAX_REPORT_BYTES, ReportInput, Result};

use super::compare::compare;
use super::html;
use super::link;
use super::report::{self, Report};

/// Reads `given` and compares those that are reports with the first of them; one alone is shown by itself. `own`: the
/// run that stands out.
pub fn look(given: &[ReportInput], own: Option<&str>) -> Compared {
    let mut reports: Vec<Report> = Vec::new();
    let mut loaded = Vec::new();
    for one in given {
        let read =
            read(one).map_err(|error| message(&error.to_string())).and_then(|report| match beside(&reports, &report) {
                Some(twin) => Err(format!("{}: is the same run as {twin}", one.name)),
                None => Ok(report),
            });
        loaded.push(match read {
            Ok(report) => {
                let (run_id, words) = (Some(report.run_id.clone()), words(&report));
                reports.push(report);
                LoadedReport { run_id, words }
            }
            Err(reason) => LoadedReport { run_id: None, words: reason },
        });
    }
    let (html, problem) = match &reports[..] {
        [] => (None, None),
        [only] => (Some(html::report::page(only)), None),
        several => match compare(several) {
            Ok(comparison) => (Some(html::comparison::page(&comparison, own)), None),
            Err(Error::BadParameter { value, expected, .. }) => {
                (None, Some(format!("These cannot be compared: {}. Expected {expected}.", message(&value))))
            }
            Err(error) => (None, Some(message(&error.to_string()))),
        },
    };
    Compared { looked: loaded, html, problem }
}

fn read(given: &ReportInput) -> Result<Report> {
    match &given.contents {
        Contents::Json(text) => report::read(&given.name, text.as_bytes(), MAX_REPORT_BYTES),
        Contents::Link(packed) => report::read(&given.name, &link::unpack(&given.name, packed)?, MAX_REPORT_BYTES),
    }
}

/// The label of the report that is the same run.
fn beside<'a>(reports: &'a [Report], report: &Report) -> Option<&'a str> {
    reports.iter().find(|other| other.run_id == report.run_id).map(|other| other.device.label.as_str())
}

/// `laptop, quick, 2026-11-22 12:00:00 UTC`
fn words(report: &Report) -> String {
    let when = report.started_at.replace('T', " ").replace('Z', " UTC");
    format!("{}, {}, {when}", report.device.label, report.protocol.scenario)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn report(run_id: &str) -> Report {
        Report { run_id: run_id.into(), ..testing::report("box", 6, |_, _| 5.0) }
    }

    fn json(name: &str, report: &Report) -> ReportInput {
        ReportInput { name: name.into(), contents: Contents::Json(serde_json::to_string(report).unwrap()) }
    }

    #[test]
    fn what_is_no_report_is_named_and_the_others_are_compared() {
        let first = report("first");
        let mut second = report("second");
        second.device.label = "<b>phone</b>".into();
        let given = [
            json("first.json", &first),
            ReportInput { name: "notes.json".into(), contents: Contents::Json("{\"a\": 1}".into()) },
            json("again.json", &first),
            ReportInput {
                name: "the link".into(),
                contents: Contents::Link(link::pack(&serde_json::to_string(&second).unwrap()).unwrap()),
            },
            ReportInput { name: "a bad link".into(), contents: Contents::Link("%%%".into()) },
        ];
        let Compared { looked, html, problem } = look(&given, Some("second"));
        let refused: Vec<bool> = looked.iter().map(|one| one.run_id.is_none()).collect();
        assert_eq!(refused, [false, true, true, false, true]);
        assert!(looked[1].words.starts_with("notes.json: is no report"));
        assert!(looked[2].words.contains("same run"));
        assert_eq!(problem, None);
        let html = html.expect("two can be compared");
        // Labels are whoever's; and marking the first instead of the own one fails the second.
        assert!(!html.contains("<b>phone") && html.contains("&lt;b&gt;phone&lt;/b&gt; (this device)"));
        assert!(html.contains("class=\"n own\">B</th>") && !html.contains("class=\"n own\">A</th>"));
    }

    #[test]
    fn one_report_is_shown_and_others_models_are_not_compared() {
        let own = report("own");
        let alone = look(&[json("a", &own)], None);
        assert!(alone.html.is_some_and(|html| html.contains("<h1>")) && alone.problem.is_none());
        let mut other = report("other");
        other.model.target.hash = Some("0".repeat(64));
        let both = look(&[json("a", &own), json("b", &other)], None);
        assert_eq!(both.html, None);
        assert!(both.problem.is_some_and(|problem| problem.contains("target weights differ")));
    }

    #[test]
    fn a_file_cannot_name_endless_work() {
        let mut greedy = report("greedy");
        greedy.protocol.resamples = 4_000_000_000;
        let looked = look(&[json("greedy.json", &greedy)], None).looked;
        assert!(looked[0].words.contains("protocol.resamples"));
    }
}
