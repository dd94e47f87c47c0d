//! Hand-computed traces, and the formulas of published documents as wrong.

use understory_protocol::FinishReason;

use super::*;
use crate::report::{Emissions, Phase};

/// A run of 8 prompt tokens, 2 of them reused, whose emissions are (ms, tokens).
pub fn sample(emissions: &[(f64, u32)]) -> Sample {
    Sample {
        round: 0,
        order: 0,
        submitted_at_ms: None,
        before_ms: None,
        first_text_ms: emissions.first().map(|e| e.0),
        paint_ms: None,
        emissions: Emissions {
            at_ms: emissions.iter().map(|e| e.0).collect(),
            tokens: emissions.iter().map(|e| e.1).collect(),
        },
        prompt_tokens: 8,
        reused_tokens: 2,
        finish_reason: FinishReason::Length,
        phases: vec![Phase { name: "prefill".into(), ms: 12.0 }],
        output_hash: String::new(),
        repetition: None,
        peak_gpu_bytes: None,
        speculation: None,
        hidden: None,
        load: None,
    }
}

fn near(metric: Metric, sample: &Sample, want: f64) {
    let is = metric.of(sample).unwrap_or_else(|| panic!("{} is not known", metric.id()));
    assert!((is - want).abs() < 1e-9, "{}: {is}, not {want}", metric.id());
}

/// Five tokens at 20, 30, 41, 50, 60 ms; the first completes no character, so the first text comes with the second.
#[test]
fn a_plain_trace() {
    let plain = Sample {
        first_text_ms: Some(30.0),
        before_ms: Some(500.0),
        ..sample(&[(20.0, 1), (30.0, 1), (41.0, 1), (50.0, 1), (60.0, 1)])
    };
    near(Metric::EngineTtft, &plain, 20.0);
    near(Metric::Ttft, &plain, 30.0);
    near(Metric::StartTtft, &plain, 530.0);
    near(Metric::Tpot, &plain, 10.0);
    near(Metric::Itl, &plain, 10.0);
    near(Metric::E2el, &plain, 60.0);
    near(Metric::TokenGeneration, &plain, 30.0);
    near(Metric::PrefillRate, &plain, 500.0);
    near(Metric::DecodeRate, &plain, 100.0);
    near(Metric::OutputRate, &plain, 5.0 / 0.060);
    near(Metric::TotalRate, &plain, 13.0 / 0.060);
    near(Metric::TokensPerEmission, &plain, 1.0);
    assert_eq!(Metric::AcceptanceRate.of(&plain), None);
    assert_eq!(Metric::PaintTtft.of(&plain), None);
}

/// Three rounds of 3, 1 and 4 tokens behind the first one, 20 ms each: 8 tokens in 60 ms.
#[test]
fn a_speculative_trace() {
    let counts =
        Counts { target_passes: 3, rounds: 3, drafted: 12, accepted: 5, nodes_verified: 15, by_depth: Vec::new() };
    let run = Sample { speculation: Some(counts), ..sample(&[(100.0, 1), (120.0, 3), (140.0, 1), (160.0, 4)]) };
    near(Metric::Tpot, &run, 7.5);
    // Mean ITL taken for TPOT, as a text streamer's chunks invite to, makes it 2.67 times too large.
    near(Metric::Itl, &run, 20.0);
    near(Metric::TokensPerEmission, &run, 9.0 / 4.0);
    near(Metric::DecodeRate, &run, 1e3 / 7.5);
    near(Metric::OutputRate, &run, 9.0 / 0.160);
    near(Metric::AcceptanceRate, &run, 5.0 / 12.0);
    near(Metric::AcceptanceLength, &run, 1.0 + 5.0 / 3.0);
    near(Metric::TokensPerPass, &run, 8.0 / 3.0);
    near(Metric::VerificationEfficiency, &run, 5.0 / 15.0);
}

/// The moments of tokens, not those of emissions, count `n_out`: a gap count in its place gives the ITL.
#[test]
fn little_is_known_of_little() {
    let one = sample(&[(15.0, 1)]);
    assert_eq!((Metric::Tpot.of(&one), Metric::Itl.of(&one), Metric::DecodeRate.of(&one)), (None, None, None));
    near(Metric::E2el, &one, 15.0);
    // One emission of two tokens: they came at once.
    near(Metric::Tpot, &sample(&[(15.0, 2)]), 0.0);
    let none = sample(&[]);
    for metric in Metric::ALL {
        assert!(matches!(metric.of(&none), None | Some(500.0)), "{}: {:?}", metric.id(), metric.of(&none));
    }
    assert_eq!(acceptance_length(0, 0), 1.0);
    assert_eq!(acceptance_rate(0, 0), None);
}

/// A single-request document wrote `E2EL - TTFT / (N - 1)`, without the parentheses that it means.
#[test]
fn the_published_tpot_without_parentheses_is_wrong() {
    let run = sample(&[(900.0, 1), (950.0, 1), (1000.0, 1), (1050.0, 1), (1100.0, 1)]);
    let (e2el, ttft, n) = (1100.0, 900.0, 5.0);
    let published = e2el - ttft / (n - 1.0);
    near(Metric::Tpot, &run, (e2el - ttft) / (n - 1.0));
    assert!(published > 10.0 * Metric::Tpot.of(&run).unwrap());
}

/// A latency table divided the time of N - 1 steps by N: a constant step of 46.5 ms then seems to grow with the length,
/// to half of it for two tokens. Its rows: 24.62 ms for 2 tokens, 45.17 for 21 and more.
#[test]
fn the_published_time_per_token_over_n_is_wrong() {
    let constant = |n: usize| {
        let times: Vec<_> = (0..n).map(|i| (80.0 + 46.5 * i as f64, 1)).collect();
        sample(&times)
    };
    for n in [2, 4, 8, 15, 30] {
        let run = constant(n);
        near(Metric::Tpot, &run, 46.5);
        let published = Metric::TokenGeneration.of(&run).unwrap() / n as f64;
        assert!((published - 46.5 * (n as f64 - 1.0) / n as f64).abs() < 1e-9 && published < 46.0);
    }
}

/// An analytic model divided one decode step, 8.895 ms, by the 256 tokens of the output once more, and gave that as TTFT
/// as well.
#[test]
fn the_published_step_over_its_length_is_wrong() {
    let times: Vec<_> = (0..256).map(|i| (120.0 + 8.895 * f64::from(i), 1)).collect();
    let run = sample(&times);
    near(Metric::Tpot, &run, 8.895);
    near(Metric::Ttft, &run, 120.0);
    near(Metric::E2el, &run, 120.0 + 255.0 * 8.895);
    assert!((8.895 / 256.0 - 0.035_f64).abs() < 1e-3);
}

/// A pair's "effective rate" was tokens of a step times the rate of tokens: 3.46 * 46.93 = 162.7, though the rate counts
/// all of a step's tokens already. Here steps of 3.46 tokens on average, 46.93 tokens/s.
#[test]
fn the_published_effective_rate_is_wrong() {
    let per_step = 3.46 / 46.93 * 1e3;
    let steps: Vec<_> = (1..=50).map(|i| (per_step * f64::from(i), 3 + u32::from(i % 50 < 23))).collect();
    let run = sample(&steps);
    assert_eq!(run.emissions.n_out(), 173);
    near(Metric::TokensPerEmission, &run, 3.46);
    near(Metric::OutputRate, &run, 46.93);
    let published = Metric::TokensPerEmission.of(&run).unwrap() * Metric::OutputRate.of(&run).unwrap();
    assert!((published - 162.4).abs() < 0.1, "{published}");
}

/// Acceptance that counts the target's own tokens among the accepted ones: 8 of 12 instead of 5 of 12. And accepted over
/// rounds alone is no acceptance length: a round's own token is missing.
#[test]
fn acceptance_leaves_the_targets_tokens_out() {
    let (accepted, rounds, drafted) = (5, 3, 12);
    assert_eq!(acceptance_rate(accepted, drafted), Some(5.0 / 12.0));
    assert_ne!(acceptance_rate(accepted, drafted), acceptance_rate(accepted + rounds, drafted));
    assert!((acceptance_length(accepted, rounds) - 8.0 / 3.0).abs() < 1e-12);
}

#[test]
fn goodput_asks_for_both_limits() {
    let limits = Limits { ttft_ms: 50.0, tpot_ms: 10.0 };
    let run = |first: f64, step: f64| sample(&[(first, 1), (first + step, 1), (first + 2.0 * step, 1)]);
    let samples = [run(50.0, 10.0), run(51.0, 5.0), run(20.0, 11.0), run(20.0, 5.0), sample(&[(10.0, 1)]), sample(&[])];
    assert_eq!(goodput(&samples, &limits), Some(0.5));
    assert_eq!(goodput(&[], &limits), None);
}

#[test]
fn metrics_and_definitions_have_each_others_names() {
    for metric in Metric::ALL {
        assert_eq!(Metric::find(metric.id()), Some(metric));
        assert_eq!(d::find(&metric.id().to_uppercase()), Some(metric.definition()));
        assert_eq!(d::find(metric.definition().name), Some(metric.definition()));
    }
    let ids: std::collections::HashSet<_> = d::all().iter().map(|d| d.id).collect();
    assert_eq!(ids.len(), d::all().len());
}
