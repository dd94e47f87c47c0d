//! Figures as people read them, the same in every front end.

/// Three digits or so: `0.041`, `7.93`, `41.2`, `1204`.
pub fn rounded(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_keep_about_three_digits() {
        let cases =
            [(0.0, "0.000"), (0.0414, "0.041"), (7.926, "7.93"), (9.996, "10.0"), (41.24, "41.2"), (1203.6, "1204")];
        for (value, text) in cases {
            assert_eq!(super::rounded(value), text);
        }
    }
}
