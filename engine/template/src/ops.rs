//! Arithmetic, as Python does it on numbers, texts and lists.

use crate::ast::BinaryOp;
use crate::error::{Result, runtime};
use crate::filters::escape;
use crate::format::percent;
use crate::interpreter::Interpreter;
use crate::limits::Budget;
use crate::value::{Object, Value};

pub(crate) fn binary(interpreter: &mut Interpreter<'_>, operator: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    if let (BinaryOp::Mod, Value::Str(format)) = (operator, a) {
        return percent::format(interpreter, format, plain(b));
    }
    if let Value::Undefined(undefined) = a {
        return undefined.fail();
    }
    if let Value::Undefined(undefined) = b {
        return undefined.fail();
    }
    let budget = &interpreter.budget;
    let (a, b) = (plain(a), plain(b));
    match operator {
        BinaryOp::Add => match (a, b) {
            (Value::Str(_), Value::Str(_)) => join(budget, a, b),
            (Value::List(left), Value::List(right)) => {
                budget.alloc_n(left.len() + right.len(), size_of::<Value>())?;
                budget.list(left.iter().chain(right.iter()).cloned().collect())
            }
            (Value::Tuple(left), Value::Tuple(right)) => {
                budget.alloc_n(left.len() + right.len(), size_of::<Value>())?;
                budget.tuple(left.iter().chain(right.iter()).cloned().collect())
            }
            _ => numbers(operator, a, b),
        },
        BinaryOp::Mul => match (a, b) {
            (sequence @ (Value::Str(_) | Value::List(_) | Value::Tuple(_)), times)
            | (times, sequence @ (Value::Str(_) | Value::List(_) | Value::Tuple(_))) => match times.as_int() {
                Some(times) => repeated(budget, sequence, times),
                None => numbers(operator, a, b),
            },
            _ => numbers(operator, a, b),
        },
        _ => numbers(operator, a, b),
    }
}

/// The tuple that an element of `groupby` is.
fn plain(value: &Value) -> &Value {
    match value {
        Value::Object(object) => match &**object {
            Object::Group(pair) => pair,
            _ => value,
        },
        _ => value,
    }
}

/// Two texts; if one is markup, the other is escaped first.
fn join(budget: &Budget<'_>, a: &Value, b: &Value) -> Result<Value> {
    let markup = a.is_markup() || b.is_markup();
    let escaped = |value: &Value| if markup { escape(budget, value) } else { Ok(value.clone()) };
    let (a, b) = (escaped(a)?, escaped(b)?);
    let (a, b) = (a.as_str().unwrap_or_default(), b.as_str().unwrap_or_default());
    budget.alloc(a.len() + b.len())?;
    let mut out = String::with_capacity(a.len() + b.len());
    out.push_str(a);
    out.push_str(b);
    Ok(Value::str(out).with_markup(markup))
}

fn repeated(budget: &Budget<'_>, value: &Value, times: i128) -> Result<Value> {
    let times = crate::args::length(times);
    match value {
        Value::Str(text) => {
            budget.alloc_n(text.len(), times)?;
            Ok(Value::str(text.repeat(if text.is_empty() { 0 } else { times })).with_markup(text.markup))
        }
        Value::List(items) | Value::Tuple(items) => {
            budget.alloc_n(items.len().saturating_mul(times), size_of::<Value>())?;
            let times = if items.is_empty() { 0 } else { times };
            let items = std::iter::repeat_n(items, times).flat_map(|items| items.iter().cloned()).collect();
            if matches!(value, Value::List(_)) { budget.list(items) } else { budget.tuple(items) }
        }
        other => Ok(other.clone()),
    }
}

fn numbers(operator: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    if let (Some(a), Some(b)) = (a.as_int(), b.as_int()) {
        return ints(operator, a, b);
    }
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => floats(operator, a, b).map(Value::Float),
        _ => {
            let sign = match operator {
                BinaryOp::Add => "+",
                BinaryOp::Sub => "-",
                BinaryOp::Mul => "*",
                BinaryOp::Div => "/",
                BinaryOp::FloorDiv => "//",
                BinaryOp::Mod => "%",
                BinaryOp::Pow => "** or pow()",
            };
            runtime(format!("unsupported operand type(s) for {sign}: '{}' and '{}'", a.type_name(), b.type_name()))
        }
    }
}

fn ints(operator: BinaryOp, a: i128, b: i128) -> Result<Value> {
    let whole = match operator {
        BinaryOp::Add => a.checked_add(b),
        BinaryOp::Sub => a.checked_sub(b),
        BinaryOp::Mul => a.checked_mul(b),
        BinaryOp::Div if b == 0 => return runtime("division by zero"),
        BinaryOp::Div => return Ok(Value::Float(a as f64 / b as f64)),
        BinaryOp::FloorDiv | BinaryOp::Mod if b == 0 => {
            return runtime("integer division or modulo by zero");
        }
        BinaryOp::FloorDiv => a.checked_div(b).map(|quotient| {
            let down = a % b != 0 && (a < 0) != (b < 0);
            quotient - i128::from(down)
        }),
        BinaryOp::Mod => a.checked_rem(b).map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }),
        BinaryOp::Pow if b < 0 => return floats(operator, a as f64, b as f64).map(Value::Float),
        BinaryOp::Pow => match (a, u32::try_from(b)) {
            (0 | 1, _) => Some(if b == 0 { 1 } else { a }),
            (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
            (_, Ok(exponent)) => a.checked_pow(exponent),
            _ => None,
        },
    };
    whole.map_or_else(too_large, |value| Ok(Value::Int(value)))
}

pub(crate) fn too_large<T>() -> Result<T> {
    crate::error::limit("whole numbers are limited to 128 bits")
}

fn floats(operator: BinaryOp, a: f64, b: f64) -> Result<f64> {
    Ok(match operator {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div if b == 0.0 => return runtime("float division by zero"),
        BinaryOp::Div => a / b,
        BinaryOp::FloorDiv if b == 0.0 => return runtime("float floor division by zero"),
        BinaryOp::Mod if b == 0.0 => return runtime("float modulo"),
        BinaryOp::FloorDiv => floor_division(a, b).0,
        BinaryOp::Mod => floor_division(a, b).1,
        BinaryOp::Pow if a == 0.0 && b < 0.0 => {
            return runtime("0.0 cannot be raised to a negative power");
        }
        BinaryOp::Pow if a < 0.0 && a.is_finite() && b.fract() != 0.0 => {
            return runtime("a negative number to a fractional power is complex");
        }
        BinaryOp::Pow => {
            let power = a.powf(b);
            if power.is_infinite() && a.is_finite() && b.is_finite() {
                return runtime("(34, 'Numerical result out of range')");
            }
            power
        }
    })
}

/// Quotient and rest of floats, in the steps of Python's.
fn floor_division(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 {
        if (b < 0.0) != (rest < 0.0) {
            rest += b;
            quotient -= 1.0;
        }
    } else {
        rest = 0.0_f64.copysign(b);
    }
    let quotient = if quotient != 0.0 {
        let floor = quotient.floor();
        if quotient - floor > 0.5 { floor + 1.0 } else { floor }
    } else {
        0.0_f64.copysign(a / b)
    };
    (quotient, rest)
}

pub(crate) fn negative(value: &Value) -> Result<Value> {
    match value {
        Value::Undefined(undefined) => undefined.fail(),
        Value::Float(value) => Ok(Value::Float(-value)),
        other => match other.as_int() {
            Some(value) => value.checked_neg().map_or_else(too_large, |value| Ok(Value::Int(value))),
            None => runtime(format!("bad operand type for unary -: '{}'", other.type_name())),
        },
    }
}

pub(crate) fn positive(value: &Value) -> Result<Value> {
    match value {
        Value::Undefined(undefined) => undefined.fail(),
        Value::Float(value) => Ok(Value::Float(*value)),
        other => match other.as_int() {
            Some(value) => Ok(Value::Int(value)),
            None => runtime(format!("bad operand type for unary +: '{}'", other.type_name())),
        },
    }
}
