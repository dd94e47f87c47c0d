//! The formulas of the metrics that are computed in more than one place: each stands here once.
//!
//! Formulas that published documents got wrong stand in the tests, as wrong.

mod breakeven;
mod repetition;

pub use self::breakeven::{BreakEven, break_even};
pub use self::repetition::repetition;

/// Time per output token: `(t_last - t_first) / (n_out - 1)`; `None` for fewer than two tokens.
pub fn tpot_ms(t_first: f64, t_last: f64, n_out: usize) -> Option<f64> {
    (n_out > 1).then(|| (t_last - t_first) / (n_out - 1) as f64)
}

/// `e2el - ttft`; 0 where the first text came with the last token: it is made a moment after the token was read.
pub fn token_generation_ms(e2el_ms: f64, ttft_ms: f64) -> f64 {
    (e2el_ms - ttft_ms).max(0.0)
}

/// `1000 * tokens / ms`; `None` where no time passed.
pub fn per_second(tokens: usize, ms: f64) -> Option<f64> {
    (ms > 0.0).then(|| 1e3 * tokens as f64 / ms)
}

/// Accepted / drafted tokens; `None`: none drafted.
pub fn acceptance_rate(accepted: usize, drafted: usize) -> Option<f64> {
    (drafted > 0).then(|| accepted as f64 / drafted as f64)
}

/// `1 + accepted / rounds`; 1 without any round. With all passes of the target as `rounds` it is the tokens per pass.
pub fn acceptance_length(accepted: usize, rounds: usize) -> f64 {
    1.0 + over(accepted, rounds)
}

/// Accepted tokens over rows that the target computed; `None`: no row.
pub fn verification_efficiency(accepted: usize, nodes_verified: usize) -> Option<f64> {
    (nodes_verified > 0).then(|| accepted as f64 / nodes_verified as f64)
}

/// Tokens per emission; 0 without any.
pub fn tokens_per_emission(tokens: usize, emissions: usize) -> f64 {
    over(tokens, emissions)
}

fn over(a: usize, b: usize) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// The middle of the values, or the mean of the two in the middle.
///
/// # Panics
/// Without values.
pub fn median(values: &[f64]) -> f64 {
    median_of(&mut values.to_vec())
}

/// As [`median`]; `values` end up in another order.
pub fn median_of(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (lower, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if odd { upper } else { (lower.iter().copied().fold(f64::NEG_INFINITY, f64::max) + upper) / 2.0 }
}
