//! What passes cost before they are measured: a plain step's time, times a ratio that is usual for the kernels.
//!
//! The ratios are upper ones of those seen, so that what is not known yet rather looks too dear: a mode that is begun for
//! nothing costs time, and one that is begun a little later costs little. For CPU adapters they are those of llvmpipe
//! (plain weights and blocks). For GPUs they follow from the roofline of `understory predict`: weights are read once a
//! pass whatever its rows, until arithmetic takes longer; no real GPU has been measured.

use understory_protocol::{Costs, KernelSet, Lossless};

use super::prune::interpolate;

/// (rows, times a plain step).
type Curve = [(usize, f64); 6];

const CPU: Curve = [(1, 1.1), (4, 2.2), (8, 3.0), (16, 5.0), (32, 9.5), (64, 18.5)];
const GPU: Curve = [(1, 1.05), (4, 1.1), (8, 1.2), (16, 1.4), (32, 2.0), (64, 3.5)];
/// A draft level takes at least so much of the target's pass: its dispatches are no fewer for being small.
const LEAST_DRAFT: f64 = 0.1;

/// What is known of a device so far; each part of it may be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// a plain step
    pub plain_ms: f64,
    pub fixed_ms: f64,
    /// measured points, rows ascending
    pub verify_ms: Vec<(usize, f64)>,
    pub draft_ms: Vec<(usize, f64)>,
}

/// Costs of `known` with what is not measured predicted. `draft_share`: bytes of the draft's weights over the target's;
/// `None`: there is no draft.
pub fn costs(kernels: KernelSet, known: Known, draft_share: Option<f64>, lossless: Lossless) -> Costs {
    let ratios = match kernels {
        KernelSet::Cpu => CPU,
        KernelSet::Gpu => GPU,
    };
    let curve = |share: f64| ratios.map(|(rows, ratio)| (rows, ratio * share * known.plain_ms));
    let share = draft_share.map(|share| share.clamp(LEAST_DRAFT, 1.0));
    Costs {
        verify_ms: filled(&known.verify_ms, &curve(1.0), known.plain_ms),
        draft_ms: share.map_or_else(Vec::new, |share| filled(&known.draft_ms, &curve(share), 0.0)),
        plain_ms: known.plain_ms,
        fixed_ms: known.fixed_ms,
        lossless,
        took_ms: 0.0,
    }
}

/// `before`, costs that were known before, by what is known now.
pub fn updated(before: &Costs, known: Known) -> Costs {
    let pace = known.plain_ms / before.plain_ms;
    let paced = |points: &[(usize, f64)]| points.iter().map(|&(rows, ms)| (rows, ms * pace)).collect::<Vec<_>>();
    let has_draft = !before.draft_ms.is_empty();
    Costs {
        verify_ms: filled(&known.verify_ms, &paced(&before.verify_ms), known.plain_ms),
        draft_ms: if has_draft { filled(&known.draft_ms, &paced(&before.draft_ms), 0.0) } else { Vec::new() },
        plain_ms: known.plain_ms,
        ..before.clone()
    }
}

/// The measured points, and those of `prior` between and beyond them: as much dearer or cheaper as the nearest measured
/// one was, but never against the order of the measured ones. Beyond the last one every row costs as much at least as rows
/// did up to there, from `none_ms` on: what was not measured must not look cheap.
fn filled(measured: &[(usize, f64)], prior: &[(usize, f64)], none_ms: f64) -> Vec<(usize, f64)> {
    let distance = |a: usize, b: usize| (a as f64 / b as f64).ln().abs();
    let predicted = |&(rows, ms): &(usize, f64)| {
        let nearest = measured.iter().min_by(|a, b| distance(a.0, rows).total_cmp(&distance(b.0, rows)));
        let scaled = nearest.map_or(ms, |near| ms * near.1 / interpolate(prior, near.0));
        let most = measured.iter().filter(|point| point.0 > rows).map(|point| point.1).fold(f64::INFINITY, f64::min);
        let least = measured.iter().filter(|point| point.0 < rows).map(|point| point.1).fold(0.0, f64::max);
        let beyond = measured
            .last()
            .filter(|last| last.0 < rows && last.0 > 1)
            .map_or(0.0, |&(last, last_ms)| last_ms + (rows - last) as f64 * (last_ms - none_ms) / (last - 1) as f64);
        (rows, scaled.max(beyond).min(most).max(least))
    };
    let is_measured = |rows: usize| measured.iter().any(|point| point.0 == rows);
    let others = prior.iter().filter(|point| !is_measured(point.0)).map(predicted);
    let mut points: Vec<_> = measured.iter().copied().chain(others).collect();
    points.sort_by_key(|point| point.0);
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(plain_ms: f64, verify_ms: &[(usize, f64)]) -> Known {
        Known { plain_ms, fixed_ms: 0.0, verify_ms: verify_ms.to_vec(), draft_ms: vec![] }
    }

    #[test]
    fn what_is_not_measured_is_a_multiple_of_a_plain_step() {
        let costs = costs(KernelSet::Cpu, known(10.0, &[]), Some(0.5), Lossless::Verified);
        assert_eq!((costs.verify_ms[0], costs.verify_ms[3]), ((1, 11.0), (16, 50.0)));
        assert_eq!(costs.draft_ms[0], (1, 5.5));
        let alone = super::costs(KernelSet::Gpu, known(10.0, &[]), None, Lossless::Verified);
        assert!(alone.draft_ms.is_empty() && alone.verify_ms[2] == (8, 12.0));
    }

    /// Seen to fail here: predicted points as they are, so that 16 rows seem cheaper than the 8 that were measured.
    #[test]
    fn measured_points_take_the_place_of_predicted_ones_and_move_the_others() {
        let prior = CPU.map(|(rows, ratio)| (rows, 10.0 * ratio));
        let points = filled(&[(8, 24.0)], &prior, 10.0);
        assert_eq!(points.len(), 6);
        assert!(points.contains(&(8, 24.0)) && points.contains(&(16, 40.0)), "{points:?}");
        let points = filled(&[(4, 30.0), (8, 31.0)], &prior, 10.0);
        assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{points:?}");
        // A size of its own stands beside the usual ones.
        assert_eq!(filled(&[(2, 15.0)], &prior, 10.0).len(), 7);
        // Rows that are ten times as dear as predicted stay so beyond.
        let steep = filled(&[(8, 80.0)], &GPU.map(|(rows, ratio)| (rows, 10.0 * ratio)), 10.0);
        assert!(steep.contains(&(16, 160.0)) && steep.contains(&(64, 640.0)), "{steep:?}");
    }
}
