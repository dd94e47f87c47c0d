//! What is concluded from samples.

use super::*;
use crate::testing::{full, median as of, report};

fn kinds(flags: &[Flag]) -> Vec<FlagKind> {
    flags.iter().map(|flag| flag.kind).collect()
}

#[test]
fn medians_and_ratios_follow_from_the_samples() {
    let report = report("a", 10, |method, n| 10.0 - 2.0 * method as f64 + 0.1 * (n % 3) as f64);
    assert_eq!(of(&report, 0, Metric::Tpot), 10.1);
    assert_eq!(of(&report, 1, Metric::Tpot), 8.1);
    assert_eq!(of(&report, 1, Metric::AcceptanceLength), 3.0);
    assert!(report.cases[0].summary_of(Metric::AcceptanceLength).is_none());
    let counts = report.cases[1].speculation.as_ref().unwrap();
    assert_eq!((counts.accepted, counts.by_depth[0].nodes), (420, 840));
    assert_eq!(report.cases[0].speculation, None);
    let ratio = report.ratios.iter().find(|r| r.case == 1 && r.metric == "tpot_ms").unwrap();
    assert_eq!(ratio.baseline, 0);
    assert!((ratio.ratio.value - 8.1 / 10.1).abs() < 1e-6);
    assert_eq!(ratio.ratio.covers(1.0), Some(false));
    assert!((ratio.ratio.inverse().value - 10.1 / 8.1).abs() < 1e-6);
    assert!(report.ratios.iter().all(|ratio| ratio.case != 0));
    assert_eq!(kinds(&report.flags), []);
    assert!(report.cases.iter().all(|of| of.flags.is_empty()), "{:?}", report.cases[0].flags);
    let mut again = report.clone();
    again.conclude();
    assert_eq!(again, report);
}

/// A run that is missing in one method leaves its round out of the ratio: pairing by place would shift all others.
#[test]
fn runs_are_paired_by_round() {
    let mut report = report("a", 10, |method, n| (1.0 + n as f64) * (10.0 - 5.0 * method as f64));
    report.cases[0].samples.remove(0);
    report.conclude();
    let ratio = report.ratios.iter().find(|r| r.case == 1 && r.metric == "tpot_ms").unwrap().ratio;
    assert_eq!((ratio.value, ratio.n), (0.5, 9));
}

/// Another prompt, length or start is no baseline, nor is another sampling.
#[test]
fn only_what_ran_beside_it_is_a_baseline() {
    let mut report = report("a", 6, |_, _| 10.0);
    report.cases[0].case.start = StartState::WarmCache;
    report.conclude();
    assert_eq!(report.ratios, []);
    report.cases[0].case.start = StartState::Warm;
    report.cases[0].case.sampling.seed = 9;
    report.conclude();
    assert_eq!(report.ratios, []);
}

#[test]
fn a_device_that_slows_down_is_flagged() {
    let slowing = report("a", 10, |method, n| (10.0 - method as f64) * (1.0 + 0.02 * n as f64));
    let flag = slowing.flags.iter().find(|flag| flag.kind == FlagKind::Drift).unwrap();
    assert!(flag.detail.contains("slower than the first"), "{}", flag.detail);
    assert!(kinds(&report("a", 10, |_, n| 10.0 - 0.2 * n as f64).flags).contains(&FlagKind::Drift));
}

#[test]
fn the_environment_is_judged() {
    let mut report = full();
    assert_eq!(kinds(&report.flags), [FlagKind::Hidden, FlagKind::OnBattery, FlagKind::Throttled]);
    report.engine.build = Build::Debug;
    report.device.adapter.software = true;
    report.device.load = Some(1.5);
    report.device.power = None;
    report.runtime.visible = Some(true);
    report.device.thermal = Some("serious".into());
    report.device.pressure = Some("critical".into());
    report.runtime.timer_resolution_ms = Some(1.0);
    report.conclude();
    let rest = [FlagKind::Load, FlagKind::Throttled, FlagKind::CoarseTimer];
    let expected = [&[FlagKind::DebugBuild, FlagKind::SoftwareAdapter][..], &rest].concat();
    assert_eq!(kinds(&report.flags), expected);
    report.device.adapter.software = false;
    report.conclude();
    let expected = [&[FlagKind::DebugBuild, FlagKind::Load][..], &rest].concat();
    assert_eq!(kinds(&report.flags), expected, "the pressure is not of what imitates a GPU");
}

#[test]
fn runs_are_judged() {
    let mut report = report("a", 10, |method, n| if (method, n) == (0, 4) { 25.0 } else { 10.0 + 0.01 * n as f64 });
    assert_eq!(kinds(&report.cases[0].flags), [FlagKind::Outliers]);
    assert!(report.cases[0].flags[0].detail.starts_with("1 of 10 runs"), "{}", report.cases[0].flags[0].detail);
    let sample = &mut report.cases[1].samples[3];
    sample.emissions.at_ms.iter_mut().skip(5).for_each(|at| *at += 400.0);
    sample.hidden = Some(true);
    sample.reused_tokens = 1;
    report.conclude();
    let found = kinds(&report.cases[1].flags);
    assert_eq!(found, [FlagKind::Outliers, FlagKind::Stalls, FlagKind::Hidden, FlagKind::PromptReused]);
    report.cases[2].samples.truncate(3);
    report.conclude();
    assert_eq!(kinds(&report.cases[2].flags), [FlagKind::FewRuns]);
}

/// A method's text that is not plain decoding's is the one thing that must not go unnoticed; injected acceptance changes
/// texts by design.
#[test]
fn texts_that_differ_are_flagged() {
    let mut report = report("a", 6, |_, _| 10.0);
    report.cases[1].samples[2].output_hash = "another".into();
    report.conclude();
    assert_eq!(kinds(&report.flags), [FlagKind::OutputDiffers]);
    assert!(report.flags[0].detail.ends_with("linear (k 6) of prompt once"), "{}", report.flags[0].detail);
    report.cases[1].case.acceptance = Acceptance::Synthetic;
    report.conclude();
    assert_eq!(kinds(&report.flags), []);
}
