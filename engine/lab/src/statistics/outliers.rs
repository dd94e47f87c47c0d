//! Signs that something else was going on: runs far from their case's median, gaps far from their run's.

use understory_protocol::formulas::median;

/// Deviations from the median beyond which a run stands out, in units of 1.4826 times the median absolute deviation
/// (the standard deviation of normal values).
const DEVIATIONS: f64 = 5.0;
/// And in parts of the median: where all runs agree within a hair, a hair more is no matter.
const SHARE: f64 = 0.1;
/// A gap of so many times the run's own median gap is a stall.
const STALL: f64 = 5.0;
/// Time lost in stalls, as a share of a run, that is worth a flag.
const LOST: f64 = 0.1;

/// Indices of the values that stand out.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    if values.len() < 3 {
        return Vec::new();
    }
    let middle = median(values);
    let deviations: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    let limit = (DEVIATIONS * 1.4826 * median(&deviations)).max(SHARE * middle.abs());
    (0..values.len()).filter(|&i| deviations[i] > limit).collect()
}

/// What single long gaps cost a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalls {
    pub count: usize,
    /// the longest of them
    pub longest_ms: f64,
    /// share of the time between first and last emission, beyond a median gap each
    pub lost: f64,
}

impl Stalls {
    pub fn is_contaminated(&self) -> bool {
        self.lost > LOST
    }
}

/// Of a run's gaps between emissions; `None`: fewer than three gaps, or no time passed.
pub fn stalls(gaps: &[f64]) -> Option<Stalls> {
    let total: f64 = gaps.iter().sum();
    if gaps.len() < 3 || total <= 0.0 {
        return None;
    }
    let middle = median(gaps);
    let long = gaps.iter().copied().filter(|&gap| gap > STALL * middle);
    let none = Stalls { count: 0, longest_ms: 0.0, lost: 0.0 };
    Some(long.fold(none, |sum, gap| Stalls {
        count: sum.count + 1,
        longest_ms: sum.longest_ms.max(gap),
        lost: sum.lost + (gap - middle) / total,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preempted_run_stands_out_and_noise_does_not() {
        assert_eq!(outliers(&[10.0, 10.1, 9.9, 10.05, 14.0, 9.95]), [4]);
        assert_eq!(outliers(&[10.0, 10.1, 9.9, 10.05, 10.4, 9.95]), [0; 0]);
        // Wide noise: nothing stands out of it, though 16 is 60 % above the median. A limit in parts alone fails this.
        assert_eq!(outliers(&[7.0, 10.0, 13.0, 8.0, 12.0, 16.0]), [0; 0]);
        assert_eq!(outliers(&[1.0, 9.0]), [0; 0]);
    }

    #[test]
    fn a_stall_is_measured_against_its_own_run() {
        let mut gaps = vec![2.0; 20];
        assert_eq!(stalls(&gaps).unwrap().count, 0);
        gaps[7] = 42.0;
        let found = stalls(&gaps).unwrap();
        assert_eq!((found.count, found.longest_ms), (1, 42.0));
        assert!((found.lost - 0.5).abs() < 1e-12 && found.is_contaminated());
        // The gaps of a slower run are no stalls.
        assert_eq!(stalls(&[42.0; 20]).unwrap().count, 0);
        assert_eq!(stalls(&[1.0, 2.0]), None);
        assert_eq!(stalls(&[0.0; 5]), None);
    }
}
