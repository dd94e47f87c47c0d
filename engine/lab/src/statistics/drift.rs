//! Whether a device became slower or faster while it was measured.

use std::cmp::Ordering;
use std::f64::consts::SQRT_2;

use statrs::function::erf::erfc;
use understory_protocol::formulas::median;

/// Values under which nothing is said: thirds of six are the least that the test can tell apart at `LEVEL`.
pub const LEAST_FOR_DRIFT: usize = 18;
const LEVEL: f64 = 0.01;
/// A change that matters.
const SHARE: f64 = 0.02;

/// The first third of the runs against the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// median of the last third over that of the first
    pub ratio: f64,
    /// two-sided, of the Mann-Whitney U test
    pub p: f64,
}

impl Drift {
    /// p < 0.01, and a change of 2 % or more.
    pub fn is_drift(&self) -> bool {
        self.p < LEVEL && (self.ratio - 1.0).abs() >= SHARE
    }
}

/// Of positive values in the order in which they were measured; `None`: fewer than [`LEAST_FOR_DRIFT`].
pub fn drift(values: &[f64]) -> Option<Drift> {
    if values.len() < LEAST_FOR_DRIFT {
        return None;
    }
    let third = values.len() / 3;
    let (first, last) = (&values[..third], &values[values.len() - third..]);
    Some(Drift { ratio: median(last) / median(first), p: mann_whitney(first, last) })
}

/// Two-sided p of the U test (Mann & Whitney 1947): normal approximation with continuity correction, ties as half, and
/// the variance less what ties take from it (Lehmann, "Nonparametrics", 1975, 1.6). Without that a clock that steps
/// coarsely, and so gives many ties, hides a drift.
fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let half_wins = |x: &f64, y: &f64| match x.total_cmp(y) {
        Ordering::Greater => 2_u32,
        Ordering::Equal => 1,
        Ordering::Less => 0,
    };
    let wins: u32 = a.iter().flat_map(|x| b.iter().map(move |y| half_wins(x, y))).sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    let all = n + m;
    let mut values = [a, b].concat();
    values.sort_by(f64::total_cmp);
    let cube_less_itself = |ties: &[f64]| (ties.len() as f64).powi(3) - ties.len() as f64;
    let ties: f64 = values.chunk_by(|x, y| x == y).map(cube_less_itself).sum();
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        // Every value is the same.
        return 1.0;
    }
    let z = ((f64::from(wins) / 2.0 - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    // P(|Z| > z) of the normal distribution.
    erfc(z / SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden values: `scipy.stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic")`, SciPy 1. The variance
    /// without its correction for ties fails all but the fourth.
    #[test]
    fn p_is_scipys() {
        let clock = |fours: usize| (0..12).map(|nth| if nth < fours { 4.0 } else { 5.0 }).collect::<Vec<f64>>();
        let rising = |from: i32| (from..from + 6).map(f64::from).collect::<Vec<f64>>();
        let cases: [(Vec<f64>, Vec<f64>, f64); 5] = [
            (vec![1.0, 1.0, 1.0, 1.0, 2.0, 2.0], vec![1.0, 2.0, 2.0, 2.0, 2.0, 2.0], 0.112_195_824_084_680_11),
            (vec![5.0, 5.0, 5.0, 5.0, 5.0, 5.1], vec![5.0, 5.1, 5.1, 5.1, 5.1, 5.1], 0.034_094_293_192_590_455),
            (
                vec![3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0],
                vec![5.0, 3.0, 5.0, 8.0, 9.0, 7.0, 9.0, 3.0],
                0.124_153_076_863_262_89,
            ),
            (rising(100), rising(112), 0.005_074_868_097_940_253),
            (clock(9), clock(2), 0.005_538_658_611_816_008),
        ];
        for (a, b, p) in cases {
            let found = mann_whitney(&a, &b);
            assert!((found / p - 1.0).abs() < 1e-9, "{a:?} {b:?}: {found}, expected {p}");
        }
        assert_eq!(mann_whitney(&[5.0; 6], &[5.0; 6]), 1.0);
    }

    /// A clock that steps by 1 ms sees 4 and 5 ms alone. Without the correction p is 0.017, and the drift goes unseen.
    #[test]
    fn a_coarse_clock_does_not_hide_a_drift() {
        let third = |fours: usize| (0..12).map(move |nth| if nth < fours { 4.0 } else { 5.0 });
        let values: Vec<f64> = third(9).chain(third(6)).chain(third(2)).collect();
        assert!(drift(&values).unwrap().is_drift(), "{:?}", drift(&values));
    }

    /// By hand: all of six are below all of six, U = 0, z = (18 - 0.5) / sqrt(39) = 2.802.
    #[test]
    fn thirds_that_lie_apart_are_told_apart() {
        let rising: Vec<f64> = (0..18).map(|i| 100.0 + f64::from(i)).collect();
        let found = drift(&rising).unwrap();
        assert!((found.p - 0.005_075).abs() < 1e-5, "{}", found.p);
        assert!((found.ratio - 114.5 / 102.5).abs() < 1e-12 && found.is_drift());
        assert_eq!(drift(&rising[..17]), None);
        // One percent in all is as sure, and nothing to warn of.
        let slight: Vec<f64> = rising.iter().map(|v| 1000.0 + (v - 100.0) * 0.5).collect();
        assert!(!drift(&slight).unwrap().is_drift());
        assert!(drift(&[5.0; 18]).unwrap().p > 0.999);
    }
}
