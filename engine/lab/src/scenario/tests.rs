//! Built-in scenarios and those of users.

use std::collections::HashSet;

use understory_protocol::definitions;

use super::*;

#[test]
fn every_built_in_can_run() {
    for name in NAMES {
        let scenario = built_in(name).unwrap();
        scenario.validate().unwrap();
        assert_eq!(scenario.name, name);
        assert!(!scenario.purpose.is_empty() && scenario.runs >= 10 && scenario.runs.is_multiple_of(2));
        let cases = scenario.cases();
        let hashes: HashSet<_> = cases.iter().map(|planned| &planned.case.hash).collect();
        assert_eq!(hashes.len(), cases.len(), "{name}: two cases have one hash");
        let schedule = scenario.schedule();
        assert_eq!(schedule.groups.iter().sum::<usize>(), cases.len());
        assert_eq!(schedule.runs().count(), schedule.len());
        assert!(schedule.runs().all(|run| run.round.is_some() || cases[run.case].case.start >= StartState::WarmCache));
        // The methods of a group differ in nothing else.
        let mut first = 0;
        for methods in schedule.groups {
            assert!(
                cases[first..first + methods].iter().all(|other| other.case.setting() == cases[first].case.setting())
            );
            first += methods;
        }
    }
    assert!(built_in("fast").unwrap_err().to_string().contains("quick, dynatree"));
}

/// `--method`, length, seed, prompt, acceptance and start: whatever is asked changes the hash. The prompt's name and
/// token count are no part of what is asked.
#[test]
fn a_cases_hash_is_of_all_that_is_asked() {
    let case = quick().cases().swap_remove(0).case;
    let sampling = Sampling { seed: 1, ..case.sampling };
    let prompt = PromptId { hash: "0".into(), ..case.prompt.clone() };
    let others = [
        Case { max_new_tokens: 65, ..case.clone() },
        Case { ignore_eos: false, ..case.clone() },
        Case { sampling, ..case.clone() },
        Case { method: Method::LOOKUP, ..case.clone() },
        Case { method: Method::Linear { k: 7 }, ..case.clone() },
        Case { synthetic_acceptance: Some(0.5), ..case.clone() },
        Case { start: StartState::Cold, ..case.clone() },
        Case { prompt, ..case.clone() },
    ];
    let hashes: HashSet<_> = others.iter().map(Case::fingerprint).chain([case.fingerprint()]).collect();
    assert_eq!(hashes.len(), others.len() + 1);
    let renamed = PromptId { id: "other".into(), n_tokens: Some(4), ..case.prompt.clone() };
    assert_eq!(Case { prompt: renamed, ..case.clone() }.fingerprint(), case.hash);
}

#[test]
fn what_cannot_be_measured_is_said() {
    let message = |scenario: Scenario| scenario.validate().unwrap_err().to_string();
    assert!(message(Scenario { lengths: vec![], ..quick() }).starts_with("lengths = an empty list"));
    assert!(message(Scenario { lengths: vec![5, 0], ..quick() }).contains("1 or more new tokens"));
    assert!(message(Scenario { runs: 0, ..quick() }).contains("runs"));
    assert!(message(Scenario { lengths: vec![1; 1000], ..quick() }).contains("6000 cases"));
    assert!(message(Scenario { methods: vec![Method::Linear { k: 0 }], ..quick() }).contains("1 to 63"));
    assert!(message(Scenario { methods: vec![Method::LINEAR], ..quick() }.without_draft()).contains("methods"));
    assert!(message(Scenario { synthetic_acceptance: Some(2.0), ..quick() }).contains("from 0 to 1"));
}

#[test]
fn plain_decoding_has_no_acceptance_to_inject() {
    let synthetic = Scenario { synthetic_acceptance: Some(0.7), ..quick() };
    for planned in synthetic.cases() {
        let is_plain = planned.case.method == Method::Ar;
        assert_eq!(planned.case.acceptance == Acceptance::Measured, is_plain);
        assert_eq!(
            planned.request(understory_protocol::Prompt::Tokens(vec![1])).synthetic_acceptance.is_none(),
            is_plain
        );
    }
}

#[test]
fn prompts_are_cut_to_tokens() {
    let long = &position().prompts[1];
    assert_eq!(long.for_request(|text| Ok((0..text.len() as u32).collect())).unwrap(), {
        understory_protocol::Prompt::Tokens((0..128).collect())
    });
    assert!(long.for_request(|_| Ok(vec![1; 5])).unwrap_err().to_string().contains("which has 5"));
    assert_ne!(long.id().hash, position().prompts[0].id().hash);
    assert_eq!((tales(48, 3).len(), tales(120, 99).len()), (3, 10));
    assert!(long_text().split_whitespace().count() >= 1000);
}

/// Each published figure names a metric that is defined and a case that its scenario runs.
#[test]
fn published_figures_have_ours_beside_them() {
    assert_eq!(published::of("quick").count(), 0);
    for name in &NAMES[1..] {
        let scenario = built_in(name).unwrap();
        let mut count = 0;
        for figure in published::of(name) {
            count += 1;
            assert!(definitions::find(figure.metric).is_some(), "{figure:?}");
            let ours = figure.ours;
            assert!(ours.method.is_none_or(|method| scenario.methods.contains(&method)), "{figure:?}");
            assert!(ours.length.is_none_or(|length| scenario.lengths.contains(&length)), "{figure:?}");
            assert!(ours.start.is_none_or(|start| scenario.starts.contains(&start)), "{figure:?}");
        }
        assert!(count > 1, "{name}");
    }
}

/// What a page offers without the scenarios themselves is what they are.
#[test]
fn the_catalog_is_of_the_built_in_scenarios() {
    use understory_protocol::scenario_catalog::{OFFERS, RUNS, WARM_UP};
    assert_eq!(OFFERS.each_ref().map(|offer| offer.name), NAMES);
    for offer in &OFFERS {
        let mut scenario = built_in(offer.name).unwrap();
        assert_eq!((scenario.runs, scenario.warm_up), (RUNS, WARM_UP));
        assert_eq!(offer.starts, scenario.starts != [StartState::Warm], "{}", offer.name);
        scenario.starts.retain(|&start| start == StartState::Warm);
        let tokens: usize = scenario.cases().iter().map(|planned| planned.case.max_new_tokens).sum();
        assert_eq!((scenario.cases().len(), tokens), (offer.cases, offer.tokens), "{}", offer.name);
    }
}
