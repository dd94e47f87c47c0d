//! Which reports are compared, and what stands beside what.

use super::*;
use crate::testing::report;

/// The standings of a metric in a case's row.
fn standings(comparison: &Comparison, case: usize, metric: Metric) -> Vec<Option<Standing>> {
    let row = comparison.cases[case].rows.iter().find(|row| row.metric == metric.id()).unwrap();
    row.cells.iter().map(|cell| cell.as_ref().map(|cell| cell.standing)).collect()
}

/// Noise of some percent that differs between reports.
fn noisy(centre: f64, shift: usize) -> impl Fn(usize, usize) -> f64 {
    move |method, n| centre - method as f64 + 0.1 * ((7 * n + 3 * shift + method) % 5) as f64
}

#[test]
fn the_faster_device_is_best_and_equals_are_tied() {
    let reports = [report("a", 10, noisy(20.0, 0)), report("b", 10, noisy(10.0, 1)), report("c", 10, noisy(10.0, 2))];
    let comparison = compare(&reports).unwrap();
    assert_eq!(comparison.cases.len(), 3);
    for case in 0..3 {
        let found = standings(&comparison, case, Metric::Tpot);
        assert_eq!(found[0], Some(Standing::Behind));
        // One of the two has the smaller median; calling it the winner alone is what this is about.
        assert_eq!(found[1..], [Some(Standing::Tied); 2]);
        assert_eq!(standings(&comparison, case, Metric::Itl), [Some(Standing::NotRanked); 3]);
    }
    // TTFT is 30 ms everywhere: nobody is best.
    assert_eq!(standings(&comparison, 0, Metric::Ttft), [Some(Standing::Tied); 3]);
    let row = comparison.cases[0].rows.iter().find(|row| row.metric == "tpot_ms").unwrap();
    let to_first = row.cells[1].as_ref().unwrap().to_first;
    assert!((to_first.value - 10.2 / 20.2).abs() < 1e-6 && to_first.covers(0.505) == Some(true), "{to_first:?}");
    // More tokens a second are better: the order of rates is the order of times turned over.
    assert_eq!(standings(&comparison, 0, Metric::OutputRate)[0], Some(Standing::Behind));
}

/// Four runs have no interval, so a device of half the speed is not called behind.
#[test]
fn few_runs_decide_nothing() {
    let comparison = compare(&[report("a", 4, noisy(20.0, 0)), report("b", 4, noisy(10.0, 1))]).unwrap();
    assert_eq!(standings(&comparison, 0, Metric::Tpot), [Some(Standing::Tied); 2]);
}

#[test]
fn what_differs_is_named() {
    let make = || report("a", 6, noisy(10.0, 0));
    let message = |edit: &dyn Fn(&mut Report)| {
        let mut other = make();
        edit(&mut other);
        compare(&[make(), other]).unwrap_err().to_string()
    };
    assert!(message(&|r| r.model.target.hash = Some("x".into())).contains("target weights differ (x against"));
    assert!(message(&|r| r.model.target.tokenizer_hash = Some("x".into())).contains("tokenizer differ"));
    assert!(message(&|r| r.schema.version += 1).contains("schema differ"));
    assert!(
        message(&|r| r.model.target.weight_types = vec!["Q8_0".into(), "Q4_1".into()])
            .contains("storage of the weights differ (Q8_0, Q4_1")
    );
    assert!(message(&|r| r.model.draft = None).contains("draft differ (none against tales-draft)"));
    assert!(message(&|r| r.model.target.hash = None).contains("target weights differ (unknown against"));
    let mut later = make();
    later.schema.hash = "with another field".into();
    assert!(compare(&[make(), later]).is_ok());
    let mut unknown = make();
    unknown.model.target.hash = None;
    // Two unknowns are not the same.
    assert!(compare(&[unknown.clone(), unknown]).is_err());
    assert!(compare(&[make()]).unwrap_err().to_string().contains("two or more"));
    assert!(compare(&[]).is_err());
}

/// One report that does not fit is shown beside those that do, with what differs and without figures.
#[test]
fn a_stranger_is_not_ranked() {
    let mut stranger = report("s", 10, noisy(1.0, 0));
    stranger.model.target.hash = Some("x".into());
    let reports = [report("a", 10, noisy(20.0, 0)), stranger, report("b", 10, noisy(10.0, 1))];
    let comparison = compare(&reports).unwrap();
    assert_eq!(comparison.columns[1].refused.as_ref().unwrap().differences[0].what, "target weights");
    let found = standings(&comparison, 0, Metric::Tpot);
    assert_eq!(found, [Some(Standing::Behind), None, Some(Standing::Best)]);
}

#[test]
fn cases_are_matched_by_what_was_asked_and_cold_comes_first() {
    let (mut a, mut b) = (report("a", 10, noisy(20.0, 0)), report("b", 10, noisy(10.0, 1)));
    for report in [&mut a, &mut b] {
        let mut cold = report.cases[0].clone();
        cold.case.start = StartState::Cold;
        cold.case = cold.case.sealed();
        report.cases.push(cold);
        // `auto`'s case has another seed in each.
        report.cases[2].case.sampling.seed = report.device.label.len() as u64 + u64::from(report.device.label == "b");
        report.cases[2].case = report.cases[2].case.clone().sealed();
    }
    b.cases.reverse();
    let comparison = compare(&[a, b]).unwrap();
    let found: Vec<_> = comparison.cases.iter().map(|case| (case.start, case.method)).collect();
    assert_eq!(
        found,
        [(StartState::Cold, Method::Ar), (StartState::Warm, Method::Ar), (StartState::Warm, Method::LINEAR)]
    );
    assert_eq!(comparison.alone.len(), 2);
    assert!(comparison.alone[0].starts_with("a: auto"), "{:?}", comparison.alone);
    let mut other = report("c", 10, noisy(10.0, 1));
    other.cases.truncate(1);
    other.cases[0].case.max_new_tokens = 7;
    other.cases[0].case = other.cases[0].case.clone().sealed();
    let message = compare(&[report("a", 10, noisy(10.0, 0)), other]).unwrap_err().to_string();
    assert!(message.contains("without a common case"), "{message}");
}
