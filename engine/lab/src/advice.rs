//! What to use: for each method beside plain decoding the length from which on it pays, and at each measured length
//! which of the two was faster.

use std::collections::HashMap;

use serde::Serialize;
use understory_protocol::Method;
use understory_protocol::formulas::BreakEven;

use super::metrics::Metric;
use super::report::{Ratio, Report, StartState};
use super::statistics::Resampler;
use super::summary::choice;

/// A method against plain decoding, over one prompt with a resident model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    pub prompt: String,
    pub method: Method,
    /// from TTFT and TPOT of the longest texts, where a change of pace weighs least
    pub break_even: BreakEven,
    /// `None`: too few runs
    pub interval: Option<[BreakEven; 2]>,
    /// ascending by length
    pub by_length: Vec<(usize, Faster)>,
}

/// Of what was measured, by the ratio of E2EL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Faster {
    Method,
    Plain,
    /// The interval of the ratio holds 1, or there is none.
    Either,
}

/// For every method that ran beside plain decoding.
pub fn advice(report: &Report) -> Vec<Advice> {
    let e2el = e2el(report);
    let families = families(report);
    // Of the longest case and its baseline, each time twice.
    let values = |family: &Vec<usize>| {
        let found = longest(&e2el, family)?;
        Some([found.0, found.1].map(|case| 2 * report.cases[case].samples.len()).iter().sum::<usize>())
    };
    let resampler = report.bootstrap().within(families.iter().filter_map(values).sum(), report.longest()).resampler();
    families.iter().filter_map(|family| family_advice(report, &resampler, &e2el, family)).collect()
}

/// Ratios of E2EL with their baselines, by case.
fn e2el(report: &Report) -> HashMap<usize, &Ratio> {
    let mut found = HashMap::new();
    for ratio in report.ratios.iter().filter(|ratio| ratio.metric == Metric::E2el.id()) {
        found.entry(ratio.case).or_insert(ratio);
    }
    found
}

/// Indices of the cases of one method and prompt with a resident model, ascending by length.
fn families(report: &Report) -> Vec<Vec<usize>> {
    let mut families: Vec<Vec<usize>> = Vec::new();
    let mut places = HashMap::new();
    for (index, of) in report.cases.iter().enumerate() {
        let case = &of.case;
        if case.start != StartState::Warm || case.method == Method::Ar {
            continue;
        }
        // A method with its parameters is what its name in words is.
        let key = (case.prompt.hash.as_str(), choice(&case.sampling), case.method.to_string());
        let place = *places.entry(key).or_insert_with(|| {
            families.push(Vec::new());
            families.len() - 1
        });
        families[place].push(index);
    }
    families.iter_mut().for_each(|family| family.sort_by_key(|&index| report.cases[index].case.max_new_tokens));
    families
}

/// The longest case of a family that was measured beside a baseline, and that.
fn longest(e2el: &HashMap<usize, &Ratio>, family: &[usize]) -> Option<(usize, usize)> {
    family.iter().rev().find_map(|&case| Some((case, e2el.get(&case)?.baseline)))
}

/// `family`: indices of the cases of one method and prompt, ascending by length.
fn family_advice(
    report: &Report,
    resampler: &Resampler,
    e2el: &HashMap<usize, &Ratio>,
    family: &[usize],
) -> Option<Advice> {
    let (longest, baseline) = longest(e2el, family)?;
    let values = |case: usize, metric| report.cases[case].values(metric).map(|(_, ms)| ms).collect::<Vec<f64>>();
    let of = |case: usize| [values(case, Metric::Ttft), values(case, Metric::Tpot)];
    let (with, without) = (of(longest), of(baseline));
    let (break_even, interval) = resampler.break_even([&with[0], &with[1]], [&without[0], &without[1]])?;
    let choice = |case: usize| {
        let ratio = e2el.get(&case)?.ratio;
        let choice = match ratio.covers(1.0) {
            Some(false) if ratio.value < 1.0 => Faster::Method,
            Some(false) => Faster::Plain,
            _ => Faster::Either,
        };
        Some((report.cases[case].case.max_new_tokens, choice))
    };
    let case = &report.cases[longest].case;
    let by_length = family.iter().filter_map(|&index| choice(index)).collect();
    Some(Advice { prompt: case.prompt.id.clone(), method: case.method, break_even, interval, by_length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::report;

    /// `linear`'s first token comes 70 ms later, its others take 9 ms instead of 10: 70 tokens. Its 64 tokens are slower
    /// than plain decoding's, its 128 are faster.
    #[test]
    fn a_late_start_is_made_good() {
        let late = |length: usize| {
            let mut report = report("a", 10, |method, n| if method == 1 { 9.0 } else { 10.0 } + 0.01 * (n % 2) as f64);
            for (nth, of) in report.cases.iter_mut().enumerate() {
                (of.case.max_new_tokens, of.case.hash) = (length, format!("{nth}-{length}"));
                for sample in &mut of.samples {
                    let shift = if nth == 1 { 70.0 } else { 0.0 };
                    let first = 30.0 + shift;
                    let step = (sample.emissions.at_ms[1] - 30.0) / f64::from(sample.emissions.tokens[1]);
                    sample.first_text_ms = Some(first);
                    sample.emissions.at_ms = (0..length).map(|i| first + step * i as f64).collect();
                    sample.emissions.tokens = vec![1; length];
                }
            }
            report
        };
        let mut report = late(64);
        report.cases.extend(late(128).cases);
        report.conclude();
        let all = advice(&report);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].method, all[0].prompt.as_str()), (Method::LINEAR, "once"));
        let BreakEven::After(tokens) = all[0].break_even else { panic!("{:?}", all[0]) };
        assert!((tokens - 70.0).abs() < 1.0, "{tokens}");
        assert_eq!(all[0].by_length, [(64, Faster::Plain), (128, Faster::Method)]);
        // `auto` is as fast as plain decoding here: nothing speaks for either.
        assert_eq!(all[1].by_length, [(64, Faster::Either), (128, Faster::Either)]);
    }

    #[test]
    fn without_plain_decoding_there_is_no_advice() {
        let mut report = report("a", 6, |_, _| 10.0);
        report.cases.remove(0);
        report.conclude();
        assert_eq!(advice(&report), []);
    }
}
