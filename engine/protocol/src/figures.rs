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

/// Of files: `6.83 MB`.
pub fn bytes(n: u64) -> String {
    scaled(n, 1000, ["kB", "MB", "GB"])
}

/// Of memory: `7.40 MiB`.
pub fn binary_bytes(n: u64) -> String {
    scaled(n, 1024, ["KiB", "MiB", "GiB"])
}

fn scaled(n: u64, base: u64, units: [&str; 3]) -> String {
    let found = (1..).zip(units).take_while(|(power, _)| n >= base.pow(*power)).last();
    found.map_or_else(
        || format!("{n} B"),
        |(power, unit)| format!("{} {unit}", rounded(n as f64 / base.pow(power) as f64)),
    )
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

    #[test]
    fn bytes_have_the_unit_that_they_fill() {
        let decimal: Vec<String> = [0, 999, 1000, 6_830_000, 3_000_000_000_000].map(super::bytes).into();
        assert_eq!(decimal, ["0 B", "999 B", "1.00 kB", "6.83 MB", "3000 GB"]);
        assert_eq!([1023, 1024, 24 << 30].map(super::binary_bytes), ["1023 B", "1.00 KiB", "24.0 GiB"]);
    }
}
