//! Simulated experiments. Every one is seeded: the counts below do not vary from run to run.

use understory_protocol::formulas::median;
use understory_shaders::reference::philox;

use super::*;
use crate::schedule::Schedule;

/// Random numbers of one experiment.
struct Random {
    key: [u32; 2],
    count: u32,
}

impl Random {
    fn new(test: u32, experiment: u32) -> Self {
        Self { key: [test, experiment], count: 0 }
    }

    fn uniform(&mut self) -> f64 {
        self.count += 1;
        let [bits, ..] = philox([self.count, 0, 0, 7], self.key);
        (f64::from(bits) + 0.5) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A latency's distribution: its median, and a draw.
type Distribution = (&'static str, f64, fn(&mut Random) -> f64);

const DISTRIBUTIONS: [Distribution; 4] = [
    ("log-normal, sigma 0.3", 10.0, |r| 10.0 * (0.3 * r.normal()).exp()),
    ("a floor and an exponential tail", 10.0 + std::f64::consts::LN_2, |r| 10.0 - r.uniform().ln()),
    ("uniform", 10.0, |r| 9.0 + 2.0 * r.uniform()),
    // One run in ten is preempted, half of these for long: it lies above the median, so that the median of all is the
    // 5/9 quantile of the others (0.1397 deviations).
    ("normal, one in ten late", 10.0 * (1.0 + 0.03 * 0.139_71), |r| {
        let late = r.uniform() < 0.1;
        let value = 10.0 * (1.0 + 0.03 * r.normal());
        if late { 12.0 + 5.0 * r.uniform() } else { value }
    }),
];

/// Share of `experiments` whose interval holds the median.
fn coverage(bootstrap: &Bootstrap, (_, median, draw): &Distribution, n: usize, experiments: u32) -> f64 {
    let holds = |experiment: &u32| {
        let mut random = Random::new(n as u32, *experiment);
        let values: Vec<f64> = (0..n).map(|_| draw(&mut random)).collect();
        bootstrap.median(&values).unwrap().covers(*median).unwrap()
    };
    (0..experiments).filter(holds).count() as f64 / f64::from(experiments)
}

/// Log-normal, a floor with an exponential tail, uniform, and normal with late runs; 10 to 30 runs. Each cell of 1,500
/// experiments has a standard error of 0.56 %. The plain bootstrap (no noise) has 91 % at n = 13.
#[test]
fn intervals_of_the_median_cover_it_in_93_to_97_percent() {
    let bootstrap = Bootstrap { resamples: 499, ..Bootstrap::default() };
    let mut all = Vec::new();
    for distribution in &DISTRIBUTIONS {
        for n in [10, 13, 20, 30] {
            let share = coverage(&bootstrap, distribution, n, 1500);
            println!("{}, {n} runs: {:.1} %", distribution.0, 100.0 * share);
            assert!((0.93..=0.97).contains(&share), "{}, {n} runs: {share}", distribution.0);
            all.push(share);
        }
    }
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    assert!((0.94..=0.96).contains(&mean), "{mean}");
}

#[test]
fn the_same_data_give_the_same_interval() {
    let values = [10.1, 9.9, 10.4, 10.0, 11.2, 9.8, 10.2, 10.05, 9.95, 10.3];
    let bootstrap = Bootstrap::default();
    let estimate = bootstrap.median(&values).unwrap();
    assert_eq!(bootstrap.median(&values), Some(estimate));
    assert!((estimate.value - 10.075).abs() < 1e-12 && estimate.n == 10);
    let [low, high] = estimate.interval.unwrap();
    assert!(9.8 < low && low < 10.075 && 10.075 < high && high < 10.5, "{low} {high}");
    assert_eq!(bootstrap.median(&values[..5]).unwrap().interval, None);
    assert_eq!(bootstrap.median(&[]), None);
    // Nothing varies, so nothing is uncertain; zeros have no logarithm.
    assert_eq!(bootstrap.median(&[0.0; 8]).unwrap().interval, Some([0.0, 0.0]));
    assert_eq!(bootstrap.paired_ratio(&[(1.0, 0.0); 8]), None);
    assert_eq!(bootstrap.ratio(&[1.0; 8], &[0.0; 8]), None);
}

/// Two methods in `rounds` rounds, run after run: the time of the n-th run of method m is `time(m, n, random)`.
fn measured(order: &[usize], random: &mut Random, time: impl Fn(usize, usize, &mut Random) -> f64) -> Vec<(f64, f64)> {
    let times: Vec<f64> = order.iter().enumerate().map(|(nth, &method)| time(method, nth, random)).collect();
    let of = |round: &[f64], order: &[usize], method| round[order.iter().position(|&m| m == method).unwrap()];
    times.chunks(2).zip(order.chunks(2)).map(|(t, o)| (of(t, o, 1), of(t, o, 0))).collect()
}

fn abba(rounds: usize) -> Vec<usize> {
    Schedule { groups: vec![2], warm_up: vec![0, 0], rounds }.runs().map(|run| run.case).collect()
}

/// Share of `experiments` whose interval of the ratio leaves 1 out.
fn alarms(experiments: u32, experiment: impl Fn(&mut Random) -> Vec<(f64, f64)>) -> f64 {
    let bootstrap = Bootstrap { resamples: 499, ..Bootstrap::default() };
    let is_alarm = |nth: &u32| {
        let pairs = experiment(&mut Random::new(99, *nth));
        bootstrap.paired_ratio(&pairs).unwrap().covers(1.0) == Some(false)
    };
    (0..experiments).filter(is_alarm).count() as f64 / f64::from(experiments)
}

/// Two methods of one speed on a device that becomes 60 % slower over 40 runs, noise of 0.3 %.
#[test]
fn abba_removes_a_linear_drift_that_ab_does_not() {
    let drifting = |order: Vec<usize>| {
        move |random: &mut Random| {
            measured(&order, random, |_, nth, r| 10.0 * (1.0 + 0.015 * nth as f64) * (1.0 + 0.003 * r.normal()))
        }
    };
    let (mirrored, plain) = (drifting(abba(20)), drifting([0, 1].repeat(20)));
    let (with, without) = (alarms(400, &mirrored), alarms(400, &plain));
    println!("false differences under drift: ABBA {with}, ABAB {without}");
    assert!(with <= 0.07, "{with}");
    assert!(without >= 0.95, "{without}");
    let bias = |experiment: &dyn Fn(&mut Random) -> Vec<(f64, f64)>| {
        let ratio = |nth| Bootstrap::default().paired_ratio(&experiment(&mut Random::new(98, nth))).unwrap().value;
        (0..20).map(ratio).sum::<f64>() / 20.0 - 1.0
    };
    let (with, without) = (bias(&mirrored), bias(&plain));
    assert!(with.abs() < 0.002 && without > 0.008, "ABBA {with}, ABAB {without}");
}

/// 20 rounds, log-normal noise of 3 % a run and of 5 % a round (which both methods share). 1,000 experiments each.
#[test]
fn a_regression_of_5_percent_is_found_and_one_of_0_is_not() {
    let slower_by = |share: f64| {
        move |random: &mut Random| {
            let rounds: Vec<f64> = (0..20).map(|_| (0.05 * random.normal()).exp()).collect();
            measured(&abba(20), random, |method, nth, r| {
                10.0 * (1.0 + share * method as f64) * rounds[nth / 2] * (0.03 * r.normal()).exp()
            })
        }
    };
    let (found, false_alarms) = (alarms(1000, slower_by(0.05)), alarms(1000, slower_by(0.0)));
    println!("5 % found in {found}, 0 % in {false_alarms}");
    assert!(found >= 0.9, "{found}");
    assert!((0.0..=0.07).contains(&false_alarms), "{false_alarms}");
}

/// A test that never speaks, or always, fails this: 30 runs with 3 % noise, with a drift of 10 % and without.
#[test]
fn drift_is_found_and_noise_is_none() {
    let share = |slope: f64| {
        let is_drift = |nth: &u32| {
            let mut random = Random::new(5, *nth);
            let value = |i: u32| 10.0 * (1.0 + slope * f64::from(i) / 29.0) * (1.0 + 0.03 * random.normal());
            let values: Vec<f64> = (0..30).map(value).collect();
            drift(&values).unwrap().is_drift()
        };
        (0..1000).filter(is_drift).count() as f64 / 1000.0
    };
    let (found, false_alarms) = (share(0.1), share(0.0));
    println!("10 % drift found in {found}, none in {false_alarms}");
    assert!(found >= 0.9 && false_alarms <= 0.015, "{found} {false_alarms}");
}

#[test]
fn rare_quantiles_need_many_runs() {
    let runs = |n: u32| (1..=n).map(f64::from).collect::<Vec<_>>();
    assert!(quantile(&runs(99), 0.99).unwrap_err().to_string().contains("100 for a p99"));
    assert_eq!(quantile(&runs(100), 0.99).unwrap(), 99.0);
    assert_eq!(quantile(&runs(20), 0.95).unwrap(), 19.0);
    assert!(quantile(&runs(19), 0.95).is_err() && quantile(&runs(9), 0.1).is_err());
    assert_eq!(quantile(&runs(10), 0.5).unwrap(), 5.0);
    assert!(quantile(&runs(10), 1.0).is_err() && quantile(&[], 0.5).is_err());
    assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 3.0, 2.0])), (2.0, 2.5));
}

/// Published shape: a later first token, faster ones after it. The interval of a pair that gains nothing reaches `Never`.
#[test]
fn break_even_has_an_interval() {
    use understory_protocol::formulas::BreakEven;
    let around = |centre: f64, noise: f64, nth| {
        let mut random = Random::new(3, nth);
        (0..12).map(|_| centre * (1.0 + noise * random.normal())).collect::<Vec<_>>()
    };
    let bootstrap = Bootstrap::default();
    let (late, soon) = (around(300.0, 0.01, 0), around(100.0, 0.01, 1));
    let (fast, slow, same) = (around(5.0, 0.01, 2), around(10.0, 0.01, 3), around(10.0, 0.01, 4));
    let (value, interval) = bootstrap.break_even([&late, &fast], [&soon, &slow]).unwrap();
    let BreakEven::After(tokens) = value else { panic!("{value:?}") };
    let Some([BreakEven::After(low), BreakEven::After(high)]) = interval else { panic!("{interval:?}") };
    assert!(low < tokens && tokens < high && low > 35.0 && high < 45.0, "{low} {tokens} {high}");
    let (_, interval) = bootstrap.break_even([&late, &same], [&soon, &slow]).unwrap();
    assert_eq!(interval.unwrap()[1], BreakEven::Never);
}
