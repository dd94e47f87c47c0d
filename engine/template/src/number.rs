//! Numbers to text and back, as Python does it.

use crate::unicode::{decimal_value, is_space};

/// Decimals beyond which every digit of a float is 0.
const DECIMALS: usize = 1100;

/// Python's `repr` of a float: the fewest digits that read back as it.
pub(crate) fn float_repr(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value).into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = split_exponent(&scientific);
    if (-4..16).contains(&exponent) {
        let text = format!("{value}");
        if text.contains('.') { text } else { text + ".0" }
    } else {
        with_exponent(mantissa, exponent, 'e')
    }
}

pub(crate) fn not_finite(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "nan",
        value if value > 0.0 => "inf",
        _ => "-inf",
    }
}

fn split_exponent(scientific: &str) -> (&str, i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (mantissa, exponent.parse().unwrap_or_default())
}

fn with_exponent(mantissa: &str, exponent: i32, letter: char) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{letter}{sign}{:02}", exponent.unsigned_abs())
}

/// `%.{decimals}f`
pub(crate) fn fixed(value: f64, decimals: usize, point: bool) -> String {
    let known = decimals.min(DECIMALS);
    let mut text = format!("{value:.known$}");
    text.extend(std::iter::repeat_n('0', decimals - known));
    if point && decimals == 0 {
        text.push('.');
    }
    text
}

/// `%.{decimals}e`
pub(crate) fn exponential(value: f64, decimals: usize, point: bool, letter: char) -> String {
    let known = decimals.min(DECIMALS);
    let scientific = format!("{value:.known$e}");
    let (mantissa, exponent) = split_exponent(&scientific);
    let mut mantissa = mantissa.to_owned();
    mantissa.extend(std::iter::repeat_n('0', decimals - known));
    if point && decimals == 0 {
        mantissa.push('.');
    }
    with_exponent(&mantissa, exponent, letter)
}

/// `%.{digits}g`. `whole`: at least one decimal is shown, as `format` does it without a type.
pub(crate) fn general(value: f64, digits: usize, keep_zeros: bool, letter: char, whole: bool) -> String {
    let digits = digits.max(1);
    let rounded = format!("{value:.*e}", digits.min(DECIMALS) - 1);
    let (_, exponent) = split_exponent(&rounded);
    let most = digits as i64 - i64::from(whole);
    let plain = exponent >= -4 && i64::from(exponent) < most;
    let mut text = if plain {
        fixed(value, (digits as i64 - 1 - i64::from(exponent)).max(0) as usize, keep_zeros)
    } else {
        exponential(value, digits - 1, keep_zeros, letter)
    };
    if !keep_zeros {
        let tail = if plain { String::new() } else { text.split_off(text.find(letter).unwrap_or(text.len())) };
        if text.contains('.') {
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
        if whole && plain && !text.contains('.') {
            text.push_str(".0");
        }
        text.push_str(&tail);
    }
    text
}

/// Python's `int(text, base)`; base 0 reads prefixes. `None` for a text that is none, or too large.
pub(crate) fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = |letters: [char; 2], own: u32| {
        let matches = base == own || base == 0;
        digits.strip_prefix('0').filter(|_| matches).and_then(|rest| rest.strip_prefix(letters))
    };
    let (digits, radix) = if let Some(rest) = prefixed(['x', 'X'], 16) {
        (rest.strip_prefix('_').unwrap_or(rest), 16)
    } else if let Some(rest) = prefixed(['o', 'O'], 8) {
        (rest.strip_prefix('_').unwrap_or(rest), 8)
    } else if let Some(rest) = prefixed(['b', 'B'], 2) {
        (rest.strip_prefix('_').unwrap_or(rest), 2)
    } else if base == 0 {
        if digits.starts_with('0') && digits.chars().any(|c| c != '0' && c != '_') {
            return None;
        }
        (digits, 10)
    } else {
        (digits, base)
    };
    let digits = without_underscores(digits)?;
    let mut value = 0_i128;
    for c in digits.chars() {
        let digit = decimal_value(c).or_else(|| c.is_ascii().then(|| c.to_digit(36)).flatten())?;
        if digit >= radix {
            return None;
        }
        let digit = if negative { -i128::from(digit) } else { digit.into() };
        value = value.checked_mul(radix.into())?.checked_add(digit)?;
    }
    Some(value)
}

/// Single underscores between digits go; others are an error.
fn without_underscores(digits: &str) -> Option<String> {
    let wrong = digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    (!wrong).then(|| digits.replace('_', ""))
}

/// Python's `float(text)`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let text: String = text
        .trim_matches(is_space)
        .chars()
        .map(|c| decimal_value(c).and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c))
        .collect();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let bytes = unsigned.as_bytes();
    let digit = |place: Option<usize>| place.and_then(|place| bytes.get(place)).is_some_and(u8::is_ascii_digit);
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' => {}
            b'_' if digit(place.checked_sub(1)) && digit(Some(place + 1)) => {}
            _ => return None,
        }
    }
    unsigned
        .replace('_', "")
        .parse::<f64>()
        .ok()
        .filter(|_| !unsigned.starts_with(['+', '-']))
        .map(|value| sign * value)
}

/// A float as a whole number, cut towards 0; `None` beyond 128 bits and for what is not finite.
pub(crate) fn truncated(value: f64) -> Option<i128> {
    (value.is_finite() && value.abs() < 1.7e38).then_some(value as i128)
}

/// Python's `round(value, digits)`: ties of the exact decimal value go to the even digit.
pub(crate) fn rounded(value: f64, digits: i128) -> f64 {
    if !value.is_finite() || digits > 330 {
        return value;
    }
    if digits >= 0 {
        return format!("{value:.*}", digits as usize).parse().unwrap_or(value);
    }
    if digits < -310 {
        return 0.0 * value;
    }
    let unit = 10_f64.powi(-digits as i32);
    (value / unit).round_ties_even() * unit
}

/// Python's `round(value, digits)` of a whole number, for negative digits.
pub(crate) fn rounded_int(value: i128, digits: i128) -> Option<i128> {
    let unit = 10_i128.checked_pow(u32::try_from(-digits).ok()?);
    let Some(unit) = unit else { return Some(0) };
    let (below, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
    let up = match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => below % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    (below + i128::from(up)).checked_mul(unit)
}
