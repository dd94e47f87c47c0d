//! Simulated traces, of which all is known. Every one is seeded: the counts below do not vary from run to run.

use understory_shaders::reference::philox;

use super::*;
use crate::statistics::quantile;

struct Random {
    key: [u32; 2],
    count: u32,
}

impl Random {
    fn uniform(&mut self) -> f64 {
        self.count += 1;
        let [bits, ..] = philox([self.count, 0, 0, 9], self.key);
        (f64::from(bits) + 0.5) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

const PREFILLS: [usize; 2] = [16, 256];
const LENGTHS: [usize; 6] = [2, 4, 8, 16, 32, 64];

/// Ten rounds over all prefills and lengths, in which a step takes `ms(token, context)`, with 3 % of noise a step, 2 %
/// that a round's runs have in common, and one step in a hundred that stalls.
fn simulate(test: u32, experiment: u32, ms: impl Fn(f64, f64) -> f64) -> Vec<Trace> {
    let mut random = Random { key: [test, experiment], count: 0 };
    let mut traces = Vec::new();
    for round in 0..10 {
        let common = (0.02 * random.normal()).exp();
        for prefill in PREFILLS {
            for length in LENGTHS {
                let mut step = |token: usize| {
                    let stall = if random.uniform() < 0.01 { 4.0 } else { 1.0 };
                    stall * common * (0.03 * random.normal()).exp() * ms(token as f64, (prefill + token - 1) as f64)
                };
                traces.push(Trace { prefill, round, steps_ms: (2..=length).map(&mut step).collect(), lone: 0 });
            }
        }
    }
    traces
}

fn analysed(traces: &[Trace]) -> Analysis {
    analyse(traces, &Memory::default())
}

/// The lowest AICc without its margin finds growth in three of the twenty constant ones.
#[test]
fn the_form_behind_the_steps_is_chosen() {
    type Law = fn(f64, f64) -> f64;
    let laws: [(Form, Law); 4] = [
        (Form::Constant, |_, _| 46.5),
        (Form::Linear, |_, x| 40.0 + 0.05 * x),
        (Form::Logarithmic, |_, x| 20.0 + 4.0 * x.ln()),
        (Form::OverN, |token, _| 46.5 * (token - 1.0) / token),
    ];
    for (nth, (form, law)) in laws.into_iter().enumerate() {
        let right = |experiment: &u32| {
            let rows = table::of_steps(&simulate(nth as u32, *experiment, law), &(0..10).collect::<Vec<_>>());
            fit::fits(&rows, 10).unwrap().chosen == form
        };
        let right = (0..20).filter(right).count();
        assert!(right >= 19, "{}: {right} of 20", form.name());
    }
}

/// A round that happens to get slower within its runs, another faster: neighbouring points go wrong together. AICc alone
/// finds a slope in most of these.
#[test]
fn what_rounds_disagree_about_is_no_slope() {
    let flat = |experiment: &u32| {
        let mut random = Random { key: [22, *experiment], count: 0 };
        let mut traces = simulate(22, *experiment, |_, _| 46.5);
        let tilts: Vec<f64> = (0..10).map(|_| 0.1 * random.normal()).collect();
        for trace in &mut traces {
            let (tilt, prefill) = (tilts[trace.round], trace.prefill);
            let scaled = |(nth, ms): (usize, &mut f64)| *ms *= 1.0 + tilt * ((prefill + nth) as f64 / 150.0 - 1.0);
            trace.steps_ms.iter_mut().enumerate().for_each(scaled);
        }
        let rows = table::of_steps(&traces, &(0..10).collect::<Vec<_>>());
        fit::fits(&rows, 10).unwrap().chosen == Form::Constant
    };
    let flat = (0..20).filter(flat).count();
    assert!(flat >= 17, "{flat} of 20");
}

/// The published reading: time over N against N. Its rise is that of (N - 1) / N, and the steps behind it do not change.
#[test]
fn equal_steps_over_n_make_the_published_table() {
    let analysis = analysed(&simulate(10, 0, |_, _| 46.5));
    let (steps, over_n) = (analysis.steps.unwrap(), analysis.over_n.unwrap());
    assert_eq!(steps.chosen, Form::Constant);
    assert_eq!(over_n.chosen, Form::OverN);
    assert_eq!(over_n.of(Form::OverN).unwrap().parameter("T").unwrap().covers(46.5), Some(true));
    let better = over_n.of(Form::OverN).unwrap().aicc;
    for wrong in [Form::Constant, Form::Linear, Form::Logarithmic] {
        assert!(over_n.of(wrong).unwrap().aicc > better + 10.0, "{}", wrong.name());
    }
    for bucket in &analysis.buckets {
        let (published, corrected) = (bucket.over_n_ms.unwrap().value, bucket.tpot_ms.unwrap().value);
        assert!((published / bucket.published_ms - 1.0).abs() < 0.08, "{}: {published}", bucket.tokens);
        assert!((corrected / 46.5 - 1.0).abs() < 0.05, "{}: {corrected}", bucket.tokens);
    }
    let runs: Vec<usize> = analysis.buckets.iter().map(|bucket| bucket.runs).collect();
    assert_eq!(runs, [20, 20, 20, 20, 40]);
}

/// With rounds drawn anew for each point, T0's interval holds it in 38 of the 60: what a round's runs have in common is
/// not averaged out by its steps.
#[test]
fn intervals_hold_the_parameters() {
    let (mut offset, mut slope, experiments) = (0, 0, 60);
    for experiment in 0..experiments {
        let traces = simulate(20, experiment, |_, x| 40.0 + 0.05 * x);
        let fits = fit::fits(&table::of_steps(&traces, &(0..10).collect::<Vec<_>>()), 10).unwrap();
        let linear = fits.of(Form::Linear).unwrap();
        offset += usize::from(linear.parameter("T0").unwrap().covers(40.0).unwrap());
        slope += usize::from(linear.parameter("alpha").unwrap().covers(0.05).unwrap());
        assert_eq!(linear.parameter("alpha").unwrap().covers(0.0), Some(false));
    }
    assert!(offset >= 53 && slope >= 53, "T0 in {offset}, alpha in {slope} of {experiments}");
}

#[test]
fn few_rounds_have_fits_but_no_intervals() {
    let mut traces = simulate(21, 0, |_, _| 10.0);
    traces.retain(|trace| trace.round < 3);
    let steps = analysed(&traces).steps.unwrap();
    let fit = steps.of(Form::Constant).unwrap();
    assert_eq!((fit.chosen_share, fit.parameters[0].estimate.interval), (None, None));
    assert!((fit.parameters[0].estimate.value / 10.0 - 1.0).abs() < 0.1);
}

/// A step that reads its part of the cache at 10 GB/s, and nothing else of which depends on the position.
#[test]
fn growth_that_is_the_cache_has_ratio_one() {
    let traces = simulate(30, 0, |_, x| 40.0 + 0.1 * x);
    let memory = Memory { kv_bytes_per_token: Some(1_000_000), bandwidth_gb_per_s: Some(10.0) };
    let kv = analyse(&traces, &memory).kv.unwrap();
    assert!((kv.bytes_over_bandwidth_ms.unwrap() - 0.1).abs() < 1e-12);
    assert_eq!(kv.ratio.unwrap().covers(1.0), Some(true));
    assert_eq!(kv.ratio.unwrap().covers(2.0), Some(false));
    let unknown = analysed(&traces);
    assert_eq!(unknown.kv.unwrap().ratio, None);
    let effect = unknown.prefill_effects.last().unwrap();
    // (40 + .1 * 288) / (40 + .1 * 48)
    assert_eq!((effect.length, effect.ratio.unwrap().covers(1.536)), (64, Some(true)));
    assert_eq!(effect.ratio.unwrap().covers(1.0), Some(false));
}

/// Nothing is under way before the second token's step, so that it takes longer. It is part of no steady step's time: a
/// constant over all steps is too large.
#[test]
fn a_lone_first_step_is_no_dependence_on_position() {
    let mut traces = simulate(31, 0, |token, _| if token < 3.0 { 30.0 } else { 10.0 });
    let constant = |analysis: &Analysis| {
        let steps = analysis.steps.as_ref().unwrap();
        assert_eq!(steps.chosen, Form::Constant);
        steps.of(Form::Constant).unwrap().parameters[0].estimate.covers(10.0).unwrap()
    };
    assert!(!constant(&analysed(&traces)));
    traces.iter_mut().for_each(|trace| trace.lone = 1);
    let analysis = analysed(&traces);
    assert!(constant(&analysis));
    assert_eq!(analysis.prefill_effects.len(), LENGTHS.len() - 1, "two tokens have no steady step");
    assert!(analysis.prefill_effects.iter().all(|effect| effect.ratio.unwrap().covers(1.0) == Some(true)));
}

fn of(held_out: &[HeldOut], estimator: Estimator) -> &HeldOut {
    held_out.iter().find(|held_out| held_out.estimator == estimator).unwrap()
}

/// As published, the time of N - 1 steps over N stands for a step: a sixth too little over these lengths.
#[test]
fn the_published_mean_foretells_too_little() {
    let traces = simulate(40, 0, |_, _| 46.5);
    let published = |trace: &Trace| trace.decode_ms() / trace.n_out() as f64;
    let mut ratios = Vec::new();
    for held in 0..10 {
        let seen: Vec<f64> = traces.iter().filter(|trace| trace.round != held).map(published).collect();
        let step = seen.iter().sum::<f64>() / seen.len() as f64;
        let unseen = traces.iter().filter(|trace| trace.round == held);
        ratios.extend(unseen.map(|trace| trace.decode_ms() / (step * trace.steps_ms.len() as f64)));
    }
    assert!(understory_protocol::formulas::median(&ratios) > 1.12, "wrong as it is");
    let mean = analysed(&traces).estimators.remove(0);
    assert_eq!((mean.estimator, mean.runs, mean.ms.len()), (Estimator::Mean, traces.len(), 1));
    assert!(mean.error < 0.05 && mean.bias.abs() < 0.05, "{mean:?}");
}

/// Where early steps are the slow ones, an estimator that knows positions is the better one; the conservative one errs
/// to the safe side.
#[test]
fn estimators_differ_where_positions_do() {
    let traces = simulate(41, 0, |token, _| if token < 11.0 { 20.0 } else { 10.0 });
    let tried = analysed(&traces).estimators;
    let [mean, by_position, early_late, conservative] = Estimator::ALL.map(|estimator| of(&tried, estimator));
    assert!(mean.error > 3.0 * early_late.error && mean.error > 3.0 * by_position.error, "{tried:?}");
    assert!((early_late.ms[0] / 20.6 - 1.0).abs() < 0.05 && (early_late.ms[1] / 10.3 - 1.0).abs() < 0.05);
    assert!(conservative.bias > mean.bias && conservative.safety_factor.unwrap() < 1.2, "{conservative:?}");
}

/// The factor does for other runs what it promises; as predicted over measured it would not.
#[test]
fn the_safety_factor_holds_for_new_runs() {
    let law = |_: f64, x: f64| 10.0 + 0.01 * x;
    let (known, fresh) = (simulate(42, 0, law), simulate(42, 1, law));
    for tried in analysed(&known).estimators {
        let fitted = tried.estimator.fit(known.iter());
        let factor = tried.safety_factor.unwrap();
        let holds =
            fresh.iter().filter(|t| t.decode_ms() <= factor * tried.estimator.predict(&fitted, t.steps_ms.len()));
        let share = holds.count() as f64 / fresh.len() as f64;
        assert!((0.85..1.0).contains(&share), "{}: {share}", tried.estimator.name());
    }
}

/// The held-out run stalled throughout: what has seen it would know. One round has nothing to hold out.
#[test]
fn a_held_out_run_is_not_in_its_own_fit() {
    let run = |round: usize, ms: f64| Trace { prefill: 4, round, steps_ms: vec![ms; 9], lone: 1 };
    let tried = analysed(&[run(0, 10.0), run(7, 30.0)]).estimators;
    let mean = of(&tried, Estimator::Mean);
    assert!((mean.worst - 2.0).abs() < 1e-12, "30 foretold where 10 was measured: {mean:?}");
    assert_eq!(mean.safety_factor, None, "two runs have no P95");
    assert!(quantile(&[1.0, 2.0], 0.95).is_err());
    assert!(analysed(&[run(0, 10.0)]).estimators.is_empty());
}

/// In a browser six steps are read together; a first read of two tokens hides a step.
#[test]
fn tokens_read_together_share_their_time() {
    let emissions = Emissions { at_ms: vec![5.0, 95.0, 155.0], tokens: vec![1, 6, 6] };
    let trace = Trace::of_emissions(16, 2, &emissions).unwrap();
    assert_eq!((trace.n_out(), trace.lone, trace.round), (13, 6, 2));
    assert_eq!(trace.steps_ms, [[15.0; 6], [10.0; 6]].concat());
    assert_eq!(trace.steady().next(), Some((8, 10.0)));
    let hidden = Emissions { at_ms: vec![5.0, 15.0], tokens: vec![2, 1] };
    assert_eq!(Trace::of_emissions(16, 0, &hidden), None);
    assert_eq!(Trace::of_emissions(16, 0, &Emissions { at_ms: vec![5.0], tokens: vec![1] }), None);
}

/// Rounds of speculation are no steps.
#[test]
fn a_report_gives_its_plain_runs() {
    let report = crate::testing::report("a", 6, |method, _| 10.0 + method as f64);
    let traces = traces(&report);
    assert_eq!((traces.len(), traces[5].round, traces[0].n_out()), (6, 5, 64));
    let analysis = analysed(&traces);
    assert_eq!((analysis.runs, analysis.rounds), (6, 6));
    assert_eq!((analysis.prefills, analysis.lengths), (vec![4], vec![64]));
    assert!((analysis.estimators[0].ms[0] - 10.0).abs() < 1e-9);
    assert_eq!(analysis.over_n, None, "one length");
    assert!(analysis.prefill_effects.is_empty(), "one prompt");
}

#[test]
fn nothing_gives_nothing() {
    let analysis = analysed(&[]);
    assert_eq!((analysis.runs, analysis.steps, analysis.over_n), (0, None, None));
    assert!(analysis.buckets.iter().all(|bucket| bucket.over_n_ms.is_none()));
}
