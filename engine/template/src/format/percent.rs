//! Python's `text % values`.

use super::numeric::{float_digits, int_digits, sign};
use super::padded;
use crate::error::{Result, runtime};
use crate::filters::escape;
use crate::interpreter::Interpreter;
use crate::number::truncated;
use crate::repr::{repr, to_str};
use crate::value::{Text, Value};

/// What stands between the `%` and the letter.
#[derive(Default)]
struct Conversion {
    left: bool,
    sign: Option<char>,
    zero: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

struct Values<'a> {
    values: &'a Value,
    next: usize,
}

impl Values<'_> {
    fn next(&mut self) -> Result<Value> {
        let value = match self.values {
            Value::Tuple(items) => items.get(self.next).cloned(),
            other => (self.next == 0).then(|| other.clone()),
        };
        self.next += 1;
        value.map_or_else(|| runtime("not enough arguments for format string"), Ok)
    }

    fn length(&mut self) -> Result<i128> {
        self.next()?.as_int().map_or_else(|| runtime("* wants int"), Ok)
    }
}

pub(crate) fn format(interpreter: &mut Interpreter<'_>, format: &Text, values: &Value) -> Result<Value> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut values = Values { values, next: 0 };
    let budget = &interpreter.budget;
    budget.alloc(format.len())?;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        budget.step(1)?;
        let mut key = None;
        if chars.next_if_eq(&'(').is_some() {
            let (mut name, mut open) = (String::new(), 1);
            for c in chars.by_ref() {
                open += i32::from(c == '(') - i32::from(c == ')');
                if open == 0 {
                    break;
                }
                name.push(c);
            }
            if open != 0 {
                return runtime("incomplete format key");
            }
            let Value::Dict(dict) = values.values else { return runtime("format requires a mapping") };
            let Some(value) = dict.get_str(&name) else { return runtime(format!("KeyError: '{name}'")) };
            key = Some(value.clone());
        }
        let mut conversion = Conversion::default();
        while let Some(flag) = chars.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => conversion.left = true,
                '#' => conversion.alternate = true,
                '0' => conversion.zero = true,
                '+' => conversion.sign = Some('+'),
                _ => conversion.sign = conversion.sign.or(Some(' ')),
            }
        }
        let mut number = |values: &mut Values<'_>| -> Result<Option<i128>> {
            if chars.next_if_eq(&'*').is_some() {
                return values.length().map(Some);
            }
            let mut number = None;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                let digit = i128::from(digit.to_digit(10).unwrap_or_default());
                number = Some(number.unwrap_or(0_i128).saturating_mul(10).saturating_add(digit));
            }
            Ok(number)
        };
        let width = number(&mut values)?.unwrap_or(0);
        conversion.left |= width < 0;
        conversion.width = crate::args::length(width.saturating_abs());
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = 0_i128;
            if chars.next_if_eq(&'*').is_some() {
                digits = values.length()?;
            }
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits = digits.saturating_mul(10).saturating_add(digit.to_digit(10).unwrap_or_default().into());
            }
            conversion.precision = Some(crate::args::length(digits));
        }
        while chars.next_if(|c| "hlL".contains(*c)).is_some() {}
        let Some(kind) = chars.next() else { return runtime("incomplete format") };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let mut value = match key {
            Some(value) => value,
            None => values.next()?,
        };
        if format.markup && value.as_number().is_none() {
            value = escape(budget, &value)?;
        }
        let text = converted(interpreter, &value, kind, &conversion)?;
        interpreter.budget.alloc(text.len())?;
        out.push_str(&text);
    }
    let used = match values.values {
        Value::Tuple(items) => values.next >= items.len(),
        Value::Dict(_) | Value::List(_) => true,
        _ => values.next > 0,
    };
    if !used {
        return runtime("not all arguments converted during string formatting");
    }
    interpreter.budget.marked(out, format.markup)
}

fn converted(interpreter: &Interpreter<'_>, value: &Value, kind: char, conversion: &Conversion) -> Result<String> {
    let budget = &interpreter.budget;
    let align = if conversion.left { '<' } else { '>' };
    let field = |text: &str| padded(budget, text, conversion.width, ' ', align, 0);
    let cut = |text: &str| -> String { text.chars().take(conversion.precision.unwrap_or(usize::MAX)).collect() };
    match kind {
        's' => {
            let text = to_str(budget, value)?;
            let text = text.as_str().unwrap_or_default();
            budget.alloc(text.len())?;
            field(&cut(text))
        }
        'r' | 'a' => {
            let text = repr(budget, value)?;
            let text = if kind == 'a' { ascii(budget, &text)? } else { text };
            field(&cut(&text))
        }
        'c' => match value {
            Value::Str(text) if text.chars().count() == 1 => field(text),
            Value::Int(_) | Value::Bool(_) => {
                match value.as_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32) {
                    Some(c) => field(c.encode_utf8(&mut [0; 4])),
                    None => runtime("%c arg not in range(0x110000)"),
                }
            }
            _ => runtime("%c requires int or char"),
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let whole = match value {
                Value::Float(value) if matches!(kind, 'd' | 'i' | 'u') => truncated(*value),
                other => other.as_int(),
            };
            let Some(whole) = whole else {
                let what = if matches!(kind, 'd' | 'i' | 'u') { "a real number" } else { "an integer" };
                return runtime(format!("%{kind} format: {what} is required, not {}", value.type_name()));
            };
            let (prefix, digits) = int_digits(whole, kind, conversion.alternate);
            let least = conversion.precision.unwrap_or(0);
            let digits = padded(budget, &digits, least, '0', '>', 0)?;
            number(interpreter, &format!("{}{prefix}", sign(whole < 0, conversion.sign)), &digits, conversion)
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            if let Value::Undefined(undefined) = value {
                return undefined.fail();
            }
            let Some(float) = value.as_number() else {
                return runtime(format!("must be real number, not {}", value.type_name()));
            };
            let precision = conversion.precision.unwrap_or(6);
            let digits = float_digits(budget, float, kind, precision, conversion.alternate, false)?;
            let negative = float.is_sign_negative() && !float.is_nan();
            number(interpreter, sign(negative, conversion.sign), &digits, conversion)
        }
        other => runtime(format!("unsupported format character '{other}' ({:#x})", u32::from(other))),
    }
}

fn number(interpreter: &Interpreter<'_>, lead: &str, digits: &str, conversion: &Conversion) -> Result<String> {
    let text = format!("{lead}{digits}");
    let (fill, align) = match conversion {
        Conversion { left: true, .. } => (' ', '<'),
        Conversion { zero: true, .. } => ('0', '='),
        _ => (' ', '>'),
    };
    padded(&interpreter.budget, &text, conversion.width, fill, align, lead.len())
}

/// What is beyond ASCII as escapes.
pub(super) fn ascii(budget: &crate::limits::Budget<'_>, text: &str) -> Result<String> {
    budget.alloc_n(text.len(), 5)?;
    Ok(text.chars().map(|c| if c.is_ascii() { c.to_string() } else { crate::unicode::escape(c) }).collect())
}
