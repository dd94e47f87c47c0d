//! Numbers in the presentations that `%` and `format` share.

use crate::error::{Result, runtime};
use crate::limits::Budget;
use crate::number::{exponential, fixed, general, not_finite};

/// The digits of a whole number without its sign, with the prefix of its base if `prefixed`.
pub(super) fn int_digits(value: i128, kind: char, prefixed: bool) -> (&'static str, String) {
    let value = value.unsigned_abs();
    let (prefix, digits) = match kind {
        'x' => ("0x", format!("{value:x}")),
        'X' => ("0X", format!("{value:X}")),
        'o' => ("0o", format!("{value:o}")),
        'b' => ("0b", format!("{value:b}")),
        _ => ("", value.to_string()),
    };
    (if prefixed { prefix } else { "" }, digits)
}

/// The magnitude of a float in one of the presentations `e f g` and their capitals. `alternate`: `#`.
pub(super) fn float_digits(
    budget: &Budget<'_>,
    value: f64,
    kind: char,
    precision: usize,
    alternate: bool,
    whole: bool,
) -> Result<String> {
    budget.alloc(precision.saturating_add(350))?;
    budget.step(float_steps(value, precision))?;
    if precision > i32::MAX as usize {
        return runtime("precision too big");
    }
    let magnitude = value.abs();
    if !magnitude.is_finite() {
        let text = not_finite(magnitude);
        return Ok(if kind.is_ascii_uppercase() { text.to_uppercase() } else { text.into() });
    }
    let letter = if kind.is_ascii_uppercase() { 'E' } else { 'e' };
    Ok(match kind.to_ascii_lowercase() {
        'e' => exponential(magnitude, precision, alternate, letter),
        'f' => fixed(magnitude, precision, alternate),
        _ => general(magnitude, precision, alternate, letter, whole),
    })
}

/// The steps of the exact decimals of a float: many far from 1.
pub(crate) fn float_steps(value: f64, precision: usize) -> u64 {
    let exponent = if value == 0.0 || !value.is_finite() { 0.0 } else { value.abs().log10().abs() };
    30 + exponent as u64 + precision.min(1100) as u64
}

/// The sign that is shown: of a negative number, else what `flag` asks for.
pub(super) fn sign(negative: bool, flag: Option<char>) -> &'static str {
    match flag {
        _ if negative => "-",
        Some('+') => "+",
        Some(' ') => " ",
        _ => "",
    }
}
