//! Reports of somebody who wants them to take long.

use std::time::{Duration, Instant};

use super::*;
use crate::report::{MAX_BYTES, Phase, Quantile, read};
use crate::report_loader::look;
use crate::testing;
use understory_protocol::{Contents, DepthCount, ReportInput};

/// Against a hang, and no claim about speed: what this bounds took minutes.
const PATIENCE: Duration = Duration::from_secs(120);

fn refusal(edit: &dyn Fn(&mut Report)) -> String {
    let mut report = testing::bare();
    edit(&mut report);
    let begun = Instant::now();
    let text = serde_json::to_string(&report).unwrap();
    let message = read("a.json", text.as_bytes(), MAX_BYTES).unwrap_err().to_string();
    assert!(begun.elapsed() < PATIENCE && message.len() < 1000, "{message}");
    message
}

/// Each was accepted, and its pages, tables or intervals took from a minute to for ever, or gigabytes.
#[test]
fn what_a_report_has_too_much_of_is_named() {
    let sample = |edit: &dyn Fn(&mut Sample)| refusal(&|report| edit(&mut report.cases[1].samples[0]));
    let names = |count: usize| (0..count).map(|nth| Phase { name: nth.to_string(), ms: 1.0 }).collect::<Vec<_>>();
    assert!(sample(&|s| s.phases = names(100_000)).contains("cases[1].samples[0].phases has 100000 entries"));
    let spread = refusal(&|report| {
        let mut names = names(1000).into_iter();
        let samples = report.cases.iter_mut().flat_map(|of| &mut of.samples);
        samples.for_each(|sample| sample.phases = names.by_ref().take(90).collect());
    });
    assert!(spread.contains("different names of phases"), "{spread}");
    assert!(refusal(&|r| r.cases = vec![r.cases[0].clone(); 20_000]).contains("cases has 20000 entries"));
    assert!(refusal(&|r| r.cases[0].samples = vec![r.cases[0].samples[0].clone(); 50_001]).contains("runs in all"));
    assert!(sample(&|s| s.emissions.tokens[1] = u32::MAX).contains("tokens in all"));
    assert!(sample(&|s| s.prompt_tokens = usize::MAX).contains("prompt_tokens is"));
    let tail = Quantile { share: 0.5, value: 1.0 };
    assert!(refusal(&|r| r.cases[0].summary[0].tail = vec![tail; 1000]).contains("summary[].tail has 1000"));
    let depths = refusal(&|r| {
        let counts = crate::report::Counts { by_depth: vec![DepthCount::default(); 65], ..Default::default() };
        r.cases[0].speculation = Some(counts);
    });
    assert!(depths.contains("by_depth has 65"), "{depths}");
    let methods = refusal(&|r| {
        for k in 1..=70 {
            let mut of = r.cases[0].clone();
            of.case.method = Method::Linear { k };
            of.case = of.case.sealed();
            r.cases.push(of);
        }
    });
    assert!(methods.contains("different methods"), "{methods}");
    assert!(refusal(&|r| r.protocol.resamples = 100_001).contains("protocol.resamples is 100001"));
}

/// A name is repeated in every row and chart: a long one makes a page of gigabytes. Counting bytes refuses the last.
#[test]
fn names_are_short() {
    let long = "x\u{1b}[31m".repeat(1_000_000);
    assert!(refusal(&|r| r.device.label.clone_from(&long)).contains("device.label has 6000000 characters"));
    assert!(!refusal(&|r| r.device.label.clone_from(&long)).contains('\u{1b}'));
    assert!(refusal(&|r| r.cases[0].case.prompt.id.clone_from(&long)).contains("cases[0].case.prompt.id"));
    let mut wide = testing::bare();
    wide.device.label = "模".repeat(LONGEST_NAME);
    assert!(check(&wide).is_ok());
}

/// As many resamples as a report may state, over many runs: what was stated would take minutes. The work is cut, and the
/// comparison says to what.
#[test]
fn many_resamples_of_many_runs_are_compared_in_a_moment() {
    let hostile = |run_id: &str| {
        let mut report = testing::report("box", 200, |method, n| 5.0 + method as f64 + 0.01 * (n % 7) as f64);
        (report.run_id, report.protocol.resamples) = (run_id.into(), 100_000);
        ReportInput { name: run_id.into(), contents: Contents::Json(serde_json::to_string(&report).unwrap()) }
    };
    let reports = [hostile("a"), hostile("b")];
    let begun = Instant::now();
    let compared = look(&reports, None);
    assert!(begun.elapsed() < PATIENCE);
    let page = compared.html.expect("they are compared");
    assert!(page.contains("There are many runs, so intervals are of "), "the page says what was cut");
    assert!(look(&reports[..1], None).html.is_some() && begun.elapsed() < PATIENCE);
}

/// As many cases as a report may hold, in files as long as a page takes.
#[test]
fn the_largest_report_is_compared() {
    let large = |run_id: &str| {
        let mut report = testing::report("box", 40, |_, n| 5.0 + 0.01 * (n % 7) as f64);
        report.run_id = run_id.into();
        let of = report.cases[1].clone();
        report.cases = (0..MOST_CASES)
            .map(|nth| {
                let mut of = of.clone();
                of.case.prompt.hash = nth.to_string();
                of.case = of.case.sealed();
                for sample in &mut of.samples {
                    sample.emissions.at_ms.truncate(3);
                    sample.emissions.tokens.truncate(3);
                    sample.speculation = None;
                }
                of
            })
            .collect();
        report.protocol.resamples = 100_000;
        ReportInput { name: run_id.into(), contents: Contents::Json(serde_json::to_string(&report).unwrap()) }
    };
    let reports = [large("a"), large("b")];
    let begun = Instant::now();
    let compared = look(&reports, None);
    assert!(compared.html.is_some(), "{:?} {:?}", compared.looked, compared.problem);
    assert!(begun.elapsed() < PATIENCE);
}
