//! What may be said of repeated measurements. The run is the unit: a run's tokens are not samples of their own.

mod bootstrap;
mod draws;
mod drift;
mod outliers;
mod resampler;

pub use self::bootstrap::{Bootstrap, LEAST_RUNS};
pub use self::drift::{Drift, LEAST_FOR_DRIFT, drift};
pub use self::outliers::{Stalls, outliers, stalls};
pub use self::resampler::{Group, Resampler};
use understory_protocol::{Error, Result};

/// The value that a share `q` of the values does not exceed (nearest rank).
///
/// # Errors
/// [`Error::BadParameter`] for a `q` outside 0 to 1, and where the values are too few for it: at least one must be
/// expected beyond it, so a p99 needs 100 and a p95 needs 20.
pub fn quantile(values: &[f64], q: f64) -> Result<f64> {
    let bad = |value, expected| Err(Error::BadParameter { name: "quantile", value, expected });
    if !(q > 0.0 && q < 1.0) {
        return bad(q.to_string(), "a number between 0 and 1, such as 0.95");
    }
    let (n, rarer) = (values.len() as f64, q.min(1.0 - q));
    // 100 * (1 - 0.99) is a little less than 1.
    if n * rarer < 1.0 - 1e-9 {
        return bad(format!("{q} of {n} runs"), "more runs: 100 for a p99, 20 for a p95, 10 for a p90");
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted[((q * n - 1e-9).ceil() as usize).clamp(1, sorted.len()) - 1])
}

/// The share `q` of sorted values, between neighbours on a line.
fn interpolated(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests;
