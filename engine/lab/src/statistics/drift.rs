//! Whether a device became slower or faster while it was measured.

use understory_protocol::formulas::median;

/// Values under which nothing is said: thirds of six are the least that the test can tell apart at [`LEVEL`].
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

/// Two-sided p of the U test (Mann & Whitney 1947): normal approximation, continuity correction, ties as half.
fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let wins = |x: &f64| {
        b.iter()
            .map(|y| {
                if x > y {
                    1.0
                } else if x == y {
                    0.5
                } else {
                    0.0
                }
            })
            .sum::<f64>()
    };
    let u: f64 = a.iter().map(wins).sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / deviation;
    (2.0 * upper_tail(z)).min(1.0)
}

/// P(Z > z) of the normal distribution for z >= 0: Abramowitz & Stegun 26.2.17, off by at most 7.5e-8.
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    polynomial * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_normal_distributions() {
        for (z, p) in [(0.0, 0.5), (1.0, 0.158_655_254), (1.959_963_985, 0.025), (3.0, 0.001_349_898)] {
            assert!((upper_tail(z) - p).abs() < 1e-7, "{z}: {}", upper_tail(z));
        }
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
