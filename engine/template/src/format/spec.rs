//! Python's `format(value, spec)`: the part of a replacement field behind the colon.

use super::numeric::{float_digits, int_digits, sign};
use super::padded;
use crate::error::{Result, runtime};
use crate::limits::Budget;
use crate::number::float_repr;
use crate::repr::to_str;
use crate::value::Value;

#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn parse(spec: &str) -> Option<Spec> {
    let chars: Vec<char> = spec.chars().collect();
    let mut parsed = Spec::default();
    let is_align = |at: usize| chars.get(at).is_some_and(|c| "<>=^".contains(*c));
    let mut at = 0;
    if is_align(1) {
        (parsed.fill, parsed.align, at) = (Some(chars[0]), Some(chars[1]), 2);
    } else if is_align(0) {
        (parsed.align, at) = (Some(chars[0]), 1);
    }
    let mut take = |allowed: &str| {
        let c = chars.get(at).copied().filter(|c| allowed.contains(*c));
        at += usize::from(c.is_some());
        c
    };
    parsed.sign = take("+- ");
    take("z");
    parsed.alternate = take("#").is_some();
    parsed.zero = take("0").is_some();
    let number = |take: &mut dyn FnMut(&str) -> Option<char>| {
        let mut number = None;
        while let Some(digit) = take("0123456789") {
            let digit = digit.to_digit(10).unwrap_or_default() as usize;
            number = Some(number.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit));
        }
        number
    };
    parsed.width = number(&mut take).unwrap_or(0);
    parsed.grouping = take(",_");
    if take(".").is_some() {
        parsed.precision = Some(number(&mut take)?);
    }
    parsed.kind = chars.get(at).copied();
    (at + usize::from(parsed.kind.is_some()) == chars.len()).then_some(parsed)
}

/// `format(value, spec)`.
pub(super) fn format(budget: &Budget<'_>, value: &Value, spec: &str) -> Result<String> {
    if spec.is_empty() {
        let text = to_str(budget, value)?;
        let text = text.as_str().unwrap_or_default();
        budget.alloc(text.len())?;
        return Ok(text.to_owned());
    }
    let Some(spec) = parse(spec) else { return runtime("Invalid format specifier") };
    match value {
        Value::Str(text) => {
            if !matches!(spec.kind, None | Some('s')) {
                return unknown(&spec, value);
            }
            if spec.align == Some('=') || spec.sign.is_some() || spec.grouping.is_some() || spec.alternate {
                return runtime("the format specifier does not suit a string");
            }
            budget.alloc(text.len())?;
            let text: String = text.chars().take(spec.precision.unwrap_or(usize::MAX)).collect();
            let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
            padded(budget, &text, spec.width, fill, spec.align.unwrap_or('<'), 0)
        }
        Value::Bool(value) if spec.kind.is_none() => int(budget, (*value).into(), &spec),
        Value::Int(_) | Value::Bool(_) => {
            let whole = value.as_int().unwrap_or_default();
            match spec.kind {
                None | Some('b' | 'd' | 'n' | 'o' | 'x' | 'X') => int(budget, whole, &spec),
                Some('c') => match u32::try_from(whole).ok().and_then(char::from_u32) {
                    Some(c) => {
                        let align = spec.align.unwrap_or('<');
                        padded(budget, c.encode_utf8(&mut [0; 4]), spec.width, spec.fill.unwrap_or(' '), align, 0)
                    }
                    None => runtime("%c arg not in range(0x110000)"),
                },
                Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => float(budget, whole as f64, &spec),
                _ => unknown(&spec, value),
            }
        }
        Value::Float(number) => match spec.kind {
            None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => float(budget, *number, &spec),
            _ => unknown(&spec, value),
        },
        other => runtime(format!("unsupported format string passed to {}.__format__", other.type_name())),
    }
}

fn unknown<T>(spec: &Spec, value: &Value) -> Result<T> {
    let kind = spec.kind.unwrap_or('?');
    runtime(format!("Unknown format code '{kind}' for object of type '{}'", value.type_name()))
}

fn int(budget: &Budget<'_>, value: i128, spec: &Spec) -> Result<String> {
    if spec.precision.is_some() {
        return runtime("Precision not allowed in integer format specifier");
    }
    let (prefix, digits) = int_digits(value, spec.kind.unwrap_or('d'), spec.alternate);
    let per_group = if matches!(spec.kind, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
    number(budget, &format!("{}{prefix}", sign(value < 0, spec.sign)), &digits, per_group, spec)
}

fn float(budget: &Budget<'_>, value: f64, spec: &Spec) -> Result<String> {
    let negative = value.is_sign_negative() && !value.is_nan();
    let lead = sign(negative, spec.sign);
    let digits = match (spec.kind, spec.precision) {
        (None, None) => float_repr(value.abs()),
        (None, Some(precision)) => float_digits(budget, value, 'g', precision, spec.alternate, true)?,
        (Some('%'), precision) => {
            float_digits(budget, value * 100.0, 'f', precision.unwrap_or(6), spec.alternate, false)? + "%"
        }
        (Some('n'), precision) => float_digits(budget, value, 'g', precision.unwrap_or(6), spec.alternate, false)?,
        (Some(kind), precision) => float_digits(budget, value, kind, precision.unwrap_or(6), spec.alternate, false)?,
    };
    number(budget, lead, &digits, 3, spec)
}

fn number(budget: &Budget<'_>, lead: &str, digits: &str, per_group: usize, spec: &Spec) -> Result<String> {
    let zeros = spec.zero && spec.align.is_none();
    let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
    let align = spec.align.unwrap_or(if zeros { '=' } else { '>' });
    let Some(separator) = spec.grouping else {
        return padded(budget, &format!("{lead}{digits}"), spec.width, fill, align, lead.len());
    };
    let whole_len = digits.find(|c: char| !c.is_ascii_hexdigit() || c == 'e' && per_group == 3).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole_len);
    // Zeros that fill the field are grouped too.
    let room = if fill == '0' && align == '=' { spec.width.saturating_sub(lead.len() + rest.len()) } else { 0 };
    budget.alloc_n(room.saturating_add(whole.len()), 2)?;
    let grouped_len = |n: usize| n + n.saturating_sub(1) / per_group;
    let mut count = whole.len();
    if room > grouped_len(count) {
        count = (room * per_group / (per_group + 1)).max(count);
        while grouped_len(count) < room {
            count += 1;
        }
    }
    let mut grouped = String::new();
    let zeros = count - whole.len();
    for (at, digit) in std::iter::repeat_n('0', zeros).chain(whole.chars()).enumerate() {
        if at > 0 && (count - at).is_multiple_of(per_group) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    padded(budget, &format!("{lead}{grouped}{rest}"), spec.width, fill, align, lead.len())
}
