//! From which length on speculation is worth it.

use std::fmt;

use serde::Serialize;

use crate::figures::rounded;

/// How long a text must be for speculation to be the faster way to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakEven {
    /// Its first token is no later and its others are faster.
    Always,
    /// Beyond so many tokens.
    After(f64),
    /// Its tokens are not faster, so what its start costs never comes back.
    Never,
}

/// `N* = (TTFT_s - TTFT_b) / (TPOT_b - TPOT_s)`, times in milliseconds, speculation (s) against the baseline (b).
pub fn break_even(ttft_s: f64, ttft_b: f64, tpot_s: f64, tpot_b: f64) -> BreakEven {
    match (ttft_s - ttft_b, tpot_b - tpot_s) {
        (_, gain) if gain <= 0.0 || gain.is_nan() => BreakEven::Never,
        (loss, _) if loss <= 0.0 => BreakEven::Always,
        (loss, gain) => BreakEven::After(loss / gain),
    }
}

impl BreakEven {
    /// Whether a text of `n` tokens is worth it.
    pub fn is_worth(self, n: usize) -> bool {
        match self {
            Self::Always => true,
            Self::After(tokens) => n as f64 > tokens,
            Self::Never => false,
        }
    }
}

impl fmt::Display for BreakEven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("at once"),
            Self::After(tokens) => write!(f, "after {} tokens", rounded(*tokens)),
            Self::Never => f.write_str("never"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published pair, 1,530 against 121.1 ms to the first token: stated were 10 to 50 tokens. Its first figures, 162.7
    /// tokens/s against 46.93, give 93. The rate of 162.7 multiplied the tokens of a step with a rate that counted them
    /// already; its later ones, tokens committed over time, are 23.44 against 48.60: it never pays.
    #[test]
    fn the_published_pair_breaks_even_later_than_stated() {
        let of_rates = |with: f64, without: f64| break_even(1530.0, 121.1, 1e3 / with, 1e3 / without);
        let BreakEven::After(tokens) = of_rates(162.7, 46.93) else { panic!("it has a break-even") };
        assert!((tokens - 92.9).abs() < 0.1, "{tokens}");
        assert!(!BreakEven::After(tokens).is_worth(50) && BreakEven::After(tokens).is_worth(93));
        assert_eq!(of_rates(23.44, 48.60), BreakEven::Never);
    }

    /// A quotient alone says -10 tokens for a slower method with a later start, and 10 for one that only starts sooner.
    #[test]
    fn a_slower_method_never_pays() {
        assert_eq!(break_even(200.0, 100.0, 20.0, 10.0), BreakEven::Never);
        assert_eq!(break_even(100.0, 200.0, 20.0, 10.0), BreakEven::Never);
        assert_eq!(break_even(200.0, 100.0, 10.0, 10.0), BreakEven::Never);
        assert_eq!(break_even(100.0, 100.0, 5.0, 10.0), BreakEven::Always);
        assert_eq!(break_even(150.0, 100.0, 5.0, 10.0), BreakEven::After(10.0));
    }
}
