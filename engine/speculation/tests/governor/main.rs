//! The controllers on synthetic devices and texts. Everything but time and the models is the real thing: trees grow,
//! are pruned, looked up and accepted by the rules of the engine, and plans run four rounds ahead of results.

mod scripted;

use scripted::*;
use understory_protocol::{Costs, KernelSet, Lossless, Method, NodeOrigin, Round, RoundMode, RoundNode, Schedule};
use understory_speculation::controller::{Controller, RoundPlan};
use understory_speculation::prior::{self, Known};
use understory_speculation::prune::verify_ms;

/// Seen to fail here: no limit on what speculation may have cost; none, and modes that leave only when they are 3 %
/// slower; waits between probes that do not grow.
#[test]
fn auto_is_never_slower_than_plain_for_long() {
    for device in [emulated(), llvmpipe(), gpu()] {
        for kind in TEXTS {
            for draft in DRAFTS {
                for (n, least) in [(300, 0.98), (2000, 0.99)] {
                    let worst = speed_ups(&device, kind, draft, n)[0];
                    assert!(worst >= least, "{n} tokens, {kind:?}, {draft:?}, {:?}: {worst:.3}", device.told);
                }
            }
        }
    }
}

/// Medians over texts.
#[test]
fn auto_speculates_where_it_pays() {
    let check = |device: &Device, kind, draft, least: f64| {
        let median = speed_ups(device, kind, draft, 300)[10];
        assert!(median >= least, "{kind:?}, {draft:?}, {:?}: {median:.3}", device.told);
    };
    for draft in DRAFTS {
        check(&emulated(), Text::Repetitive, draft, 2.0);
        check(&llvmpipe(), Text::Repetitive, draft, 2.0);
        check(&gpu(), Text::Repetitive, draft, 3.0);
    }
    check(&emulated(), Text::Fresh, draft(0.9, 0.9), 1.15);
    check(&gpu(), Text::Fresh, draft(0.2, 0.2), 1.1);
    check(&gpu(), Text::Fresh, draft(0.6, 0.6), 1.7);
    check(&gpu(), Text::Fresh, draft(0.9, 0.9), 2.5);
}

/// The table promised other times than rounds take. Seen to fail here: measured times ignored.
#[test]
fn auto_learns_what_rounds_cost() {
    for told in [emulated(), gpu()] {
        for truth in [[1.3, 1.0], [1.0, 4.0], [0.8, 0.5]] {
            let device = Device { truth, ..told.clone() };
            for kind in [Text::Fresh, Text::FalseMatches] {
                for draft in DRAFTS {
                    let worst = speed_ups(&device, kind, draft, 300)[0];
                    assert!(worst >= 0.97, "{truth:?}, {kind:?}, {draft:?}, {:?}: {worst:.3}", device.told);
                }
            }
        }
    }
    // Everything takes longer than it did, plain decoding as well: no reason to give up.
    let slow = Device { truth: [1.5; 2], plain_truth: 1.5, ..gpu() };
    let median = speed_ups(&slow, Text::Fresh, draft(0.9, 0.9), 300)[10];
    assert!(median > 2.0, "{median}");
}

/// `device` before its passes are measured: all but a plain step and `verify_ms` is predicted.
fn predicted(kernels: KernelSet, device: &Device, verify_ms: Vec<(usize, f64)>) -> Device {
    let Costs { plain_ms, .. } = device.told;
    let known = Known { plain_ms, fixed_ms: 0.0, verify_ms, draft_ms: vec![] };
    let told = prior::costs(kernels, known, Some(0.2), Lossless::Verified);
    let draft = device.told.draft_ms[0].1 / told.draft_ms[0].1;
    Device { verify: Some(device.told.verify_ms.clone()), truth: [1.0, draft], told, ..device.clone() }
}

/// Devices that are not what was predicted of their kernels, but for the one size that is measured before rounds begin:
/// rows that cost next to nothing, as much as a pass, or jump. Seen to fail here: larger sizes by the prior's ratios alone,
/// so that long chains look cheap (0.5 of plain decoding).
#[test]
fn wrong_predictions_are_never_slower_than_plain_for_long() {
    let steep = device(5.0, &[(1, 7.0), (2, 12.0), (4, 22.0), (8, 41.0), (16, 80.0)], 4.5);
    let stepped = device(5.0, &[(1, 5.0), (4, 5.5), (5, 15.0), (16, 16.0), (17, 60.0), (64, 70.0)], 1.0);
    for device in [emulated(), llvmpipe(), gpu(), steep, stepped] {
        for kernels in [KernelSet::Cpu, KernelSet::Gpu] {
            let eight = vec![(8, f64::from(verify_ms(&device.told)[8]))];
            let device = predicted(kernels, &device, eight);
            for kind in TEXTS {
                for draft in DRAFTS {
                    let worst = speed_ups(&device, kind, draft, 300)[0];
                    assert!(worst >= 0.95, "{kernels:?}, {kind:?}, {draft:?}, {:?}: {worst:.3}", device.verify);
                }
            }
        }
    }
    // And where it pays, it is found out.
    for kernels in [KernelSet::Cpu, KernelSet::Gpu] {
        for device in [emulated(), llvmpipe(), gpu()] {
            let device = predicted(kernels, &device, vec![(8, f64::from(verify_ms(&device.told)[8]))]);
            let median = speed_ups(&device, Text::Repetitive, draft(0.6, 0.6), 300)[10];
            assert!(median >= 1.8, "{kernels:?}, {:?}: {median:.3}", device.verify);
        }
    }
}

/// Costs that begin as predicted ones come near to what passes take, a text after the other, and a disturbed round moves
/// them little. Seen to fail here: the mean of what rounds took.
#[test]
fn rounds_refine_predicted_costs() {
    let truth = llvmpipe();
    let mut device = predicted(KernelSet::Cpu, &truth, vec![]);
    let error = |device: &Device| {
        let (told, true_ms) = (verify_ms(&device.told), verify_ms(&truth.told));
        // Sizes that run.
        (4..=12).map(|rows| f64::from((told[rows] / true_ms[rows]).ln().abs())).fold(0.0, f64::max)
    };
    let before = error(&device);
    for seed in 0..12 {
        let text = text(Text::Repetitive, seed, 800);
        let run = run(Method::Auto, &device, &text, draft(0.02, 0.02), 400, seed);
        if let Some(refined) = run.controller.refined(&device.told) {
            assert!(refined.verify_ms.is_sorted_by(|a, b| a.1 <= b.1), "{refined:?}");
            device.told = refined;
        }
    }
    let after = error(&device);
    assert!(after < 0.5 * before && after < 0.3, "{before:.3}, then {after:.3}: {:?}", device.told.verify_ms);
    // The draft's levels have no times of their own, and other methods do not look at times.
    assert_eq!(device.told.draft_ms, predicted(KernelSet::Cpu, &truth, vec![]).told.draft_ms);
    let text = text(Text::Repetitive, 1, 800);
    let fixed = run(Method::LINEAR, &device, &text, draft(0.6, 0.6), 200, 1);
    assert_eq!(fixed.controller.refined(&device.told), None);
}

/// Where a host looks late, two results come at once. Seen to fail here: the second one's time taken for what it took.
#[test]
fn rounds_that_are_read_together_share_their_time() {
    for device in [llvmpipe(), gpu()] {
        let bunched = Device { bunched: true, ..device.clone() };
        let mut kept = Vec::new();
        for kind in TEXTS {
            for draft in DRAFTS {
                let [alone, together] = [&device, &bunched].map(|device| speed_ups(device, kind, draft, 300));
                assert!(together[0] >= 0.97, "{kind:?}, {draft:?}, {:?}: {:.3}", device.told, together[0]);
                kept.push(together[10] / alone[10]);
            }
        }
        // News is a round older, too.
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        assert!(mean >= 0.95, "{:?}: {mean:.3} of the speed, {kept:.3?}", device.told);
    }
}

#[test]
fn auto_starts_by_what_the_device_promises() {
    let start = |device: &Device, has_draft| Controller::new(&Method::Auto, has_draft, &device.told).plan().mode;
    assert_eq!(start(&gpu(), true), RoundMode::Draft);
    assert_eq!(start(&gpu(), false), RoundMode::Lookup);
    // A verified row and two draft levels cost more than they promise.
    assert_eq!(start(&emulated(), true), RoundMode::Lookup);
    assert_eq!(start(&device(5.0, &[(1, 7.0), (8, 14.0)], 2.0), true), RoundMode::Plain);

    let broken = |change: fn(&mut Costs)| {
        let mut device = gpu();
        change(&mut device.told);
        start(&device, true)
    };
    assert_eq!(broken(|c| c.lossless = Lossless::Off), RoundMode::Plain);
    assert_eq!(broken(|c| c.verify_ms.clear()), RoundMode::Plain);
    assert_eq!(broken(|c| c.plain_ms = f64::NAN), RoundMode::Plain);
    assert_eq!(broken(|c| c.draft_ms.clear()), RoundMode::Lookup);
    assert_eq!(broken(|c| c.draft_ms[0].1 = 0.0), RoundMode::Lookup);
}

/// Texts that repeat themselves are fastest without the draft. Having one to try costs next to nothing. Seen to fail
/// here: no limit on what probes may have cost.
#[test]
fn a_useless_draft_is_hardly_noticed() {
    let with = emulated();
    let mut without = with.clone();
    without.told.draft_ms.clear();
    let price = |seed| {
        let text = text(Text::Repetitive, seed, 2000);
        let [with, without] = [&with, &without].map(|d| run(Method::Auto, d, &text, draft(0.02, 0.02), 1000, seed));
        (with.ms / with.tokens as f64) / (without.ms / without.tokens as f64)
    };
    let prices: Vec<f64> = (0..20).map(price).collect();
    // A probe moves the rounds that follow: one text gains by it and another loses.
    assert!(prices.iter().sum::<f64>() <= 1.01 * 20.0 && prices.iter().all(|&p| p <= 1.03), "{prices:.3?}");
}

/// Seen to fail here: waits that do not grow; paused modes back without a probe.
#[test]
fn probes_grow_rarer_and_are_reported_when_they_change_the_mode() {
    let device = Device { jitter: 0.0, ..device(10.0, &[(1, 10.5), (16, 12.0)], 8.0) };
    let n = 3000;
    let result = run(Method::Auto, &device, &text(Text::Fresh, 3, n + 200), draft(0.02, 0.02), n, 3);
    let probed = result.plans.iter().filter(|p| p.probe).count();
    assert!(probed * 50 < result.plans.len(), "{probed} of {} rounds", result.plans.len());
    // What lookup would give is imagined, not tried.
    assert!(!result.plans.iter().any(|p| p.probe && p.mode == RoundMode::Lookup));
    let begins = |&i: &usize| result.plans[i].probe && !result.plans[i - 1].probe;
    let starts: Vec<usize> = (1..result.plans.len()).filter(begins).collect();
    let waits: Vec<usize> = starts.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(waits.len() > 3 && waits[waits.len() - 1] >= 256, "at {starts:?}: {waits:?}");

    // Rounds that are no probes run in the mode of the last decision.
    let decisions = result.controller.decisions();
    assert_eq!((decisions[0].round, decisions[0].mode), (0, result.plans[0].mode));
    for (i, plan) in result.plans.iter().enumerate().filter(|(_, p)| !p.probe) {
        let decided = decisions.iter().rev().find(|d| d.round <= i).unwrap();
        assert_eq!(plan.mode, decided.mode, "round {i}: {decisions:?}");
    }
    assert!(decisions.iter().all(|d| d.reason.contains("plain decoding")));
}

/// A text that begins to repeat itself late, on a device where lookup promises nothing before. Seen to fail here: chains
/// that are not imagined.
#[test]
fn repetition_is_noticed_while_the_text_is_decoded_plainly() {
    let device = device(10.0, &[(1, 10.5), (16, 12.0)], 8.0);
    let mut text = text(Text::Fresh, 4, 200);
    let period = text[180..200].to_vec();
    text.extend(period.iter().cycle().take(400));
    let result = run(Method::Auto, &device, &text, draft(0.02, 0.02), 480, 4);
    // Until then a round is a token; the text repeats itself from its 200th token on.
    let first = (201..result.plans.len()).find(|&i| result.plans[i].mode == RoundMode::Lookup);
    let round = first.expect("lookup runs in the end");
    assert!(round < 280, "round {round}: {:?}", result.controller.decisions());
    assert!(result.speed_up(&device) > 1.5, "{}", result.speed_up(&device));
}

/// Beyond the draft's context. Seen to fail here: a mode that goes on by what it last gave.
#[test]
fn a_draft_that_is_lost_is_not_asked_for_again() {
    let device = gpu();
    let mut run = run(Method::Auto, &device, &text(Text::Fresh, 3, 500), draft(0.9, 0.9), 200, 3);
    let drafts = |plan: &RoundPlan| plan.mode == RoundMode::Draft;
    assert!(run.plans.iter().rev().take(20).all(drafts), "drafting pays here");
    run.controller.lose_draft();
    for index in 0..100 {
        let plan = run.controller.plan();
        assert!(!drafts(&plan), "round {index}");
        let root = RoundNode { token: 1, parent: None, depth: 0, log_prob: 0.0, origin: NodeOrigin::Root };
        let (nodes, pruned, path) = (vec![root], vec![], vec![0]);
        let round = Round { index, position: 500 + index, nodes, pruned, path, emitted: vec![2], mode: plan.mode };
        run.controller.observe(&round, &plan, 0, Some(device.told.plain_ms));
    }
    let reasons: Vec<_> = run.controller.decisions().iter().map(|decision| decision.reason.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.starts_with("beyond the draft's context: ")), "{reasons:?}");
}

#[test]
fn equal_observations_give_equal_plans() {
    let text = text(Text::Repetitive, 5, 1000);
    let (one, two) = ([0; 2]).map(|_| run(Method::Auto, &gpu(), &text, draft(0.6, 0.6), 400, 5)).into();
    assert_eq!(one.plans, two.plans);
    // Other methods do not look at times at all.
    let methods = [
        Method::Ar,
        Method::Linear { k: 4 },
        Method::Tree { depth: 4, branch: 2, tau: 0.05, budget: 20 },
        Method::DynaTree,
        Method::Assisted { schedule: Schedule::Heuristic { start: 5 } },
        Method::Assisted { schedule: Schedule::Confidence { most: 20, threshold: 0.4 } },
        Method::Lookup { ngram: 3, tokens: 10 },
    ];
    for method in methods {
        let slow = Device { truth: [5.0, 9.0], jitter: 0.5, ..gpu() };
        let [one, two] = [gpu(), slow].map(|d| run(method, &d, &text, draft(0.6, 0.6), 400, 5));
        assert_eq!(one.plans, two.plans, "{method:?}");
        assert!(one.controller.decisions().is_empty());
        assert_eq!(method == Method::Ar, one.plans[0].mode == RoundMode::Plain);
    }
}

#[test]
fn trees_have_the_shapes_that_methods_ask_for() {
    let text = text(Text::Fresh, 1, 1000);
    let trees = |method, draft| run(method, &gpu(), &text, draft, 200, 1).trees;
    assert!(trees(Method::Linear { k: 5 }, draft(0.6, 0.6)).iter().all(|&n| n == 5));
    assert!(trees(Method::Linear { k: 500 }, draft(0.6, 0.6)).iter().all(|&n| n == 63));
    let tree = |tau, budget| trees(Method::Tree { depth: 3, branch: 2, tau, budget }, draft(0.6, 0.6));
    assert!(tree(0.0, 63).iter().all(|&n| n == 2 + 4 + 8));
    assert!(tree(0.0, 10).iter().all(|&n| n == 10));
    // 0.6 and 0.16: only the first goes on, once more at 0.36, and its sibling at 0.096 does not.
    assert!(tree(0.2, 63).iter().all(|&n| n == 6));
    let confidence = |most, threshold, claim| {
        trees(Method::Assisted { schedule: Schedule::Confidence { most, threshold } }, draft(0.6, claim))
    };
    assert!(confidence(20, 0.4, 0.6).iter().all(|&n| n == 20));
    assert!(confidence(20, 0.4, 0.3).iter().all(|&n| n == 1));
    assert!(trees(Method::Ar, draft(0.6, 0.6)).iter().all(|&n| n == 0));
}

/// The first round that knows of results is number [`AHEAD`].
#[test]
fn schedules_follow_acceptance() {
    let text = text(Text::Fresh, 1, 4000);
    let assisted = |chance| {
        let method = Method::Assisted { schedule: Schedule::Heuristic { start: 5 } };
        run(method, &gpu(), &text, draft(chance, 0.9), 300, 1)
    };
    let levels = |run: &Run| run.plans.iter().map(|p| p.levels).collect::<Vec<_>>();
    let up = levels(&assisted(1.0));
    assert_eq!(up[..AHEAD + 2], [5, 5, 5, 5, 7, 9]);
    let down = levels(&assisted(0.0));
    assert_eq!(down[..AHEAD + 6], [5, 5, 5, 5, 4, 3, 2, 1, 1, 1]);

    let dynatree = |chance| {
        let result = run(Method::DynaTree, &gpu(), &text, draft(chance, 0.95), 300, 1);
        let rules: Vec<_> = result.plans.iter().map(|p| (p.rule.deep_from, p.rule.deep)).collect();
        assert!(rules[..9 + AHEAD].iter().all(|r| *r == (5, 0.5)), "a full window first: {rules:?}");
        *rules.last().unwrap()
    };
    assert_eq!(dynatree(1.0), (7, 0.5));
    let (deep_from, deep) = dynatree(0.0);
    assert_eq!(deep_from, 2);
    assert!((deep - 0.95).abs() < 1e-5, "{deep}");
}
