//! Numbers: `abs`, `int`, `float`, `round`, `filesizeformat`.

use crate::args::{Args, flag, integer_or, length};
use crate::error::{Result, runtime};
use crate::format::numeric::float_steps;
use crate::interpreter::Interpreter;
use crate::number::{fixed, parse_float, parse_int, rounded, rounded_int, truncated};
use crate::ops::too_large;
use crate::value::Value;

pub(super) fn abs(_: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("abs", [], 0)?;
    match value {
        Value::Undefined(undefined) => undefined.fail(),
        Value::Float(value) => Ok(Value::Float(value.abs())),
        other => match other.as_int() {
            Some(value) => value.checked_abs().map_or_else(too_large, |value| Ok(Value::Int(value))),
            None => runtime(format!("bad operand type for abs(): '{}'", other.type_name())),
        },
    }
}

pub(super) fn int(_: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [default, base] = args.bind("int", ["default", "base"], 0)?;
    let default = default.unwrap_or(Value::Int(0));
    let base = integer_or(base.as_ref(), 10, "int: base")?;
    match &value {
        Value::Undefined(undefined) => undefined.fail(),
        Value::Str(text) => {
            let base = u32::try_from(base).ok().filter(|base| matches!(base, 0 | 2..=36));
            if let Some(whole) = base.and_then(|base| parse_int(text, base)) {
                return Ok(Value::Int(whole));
            }
            let digits = text.trim().trim_start_matches(['-', '+']);
            if digits.len() > 30 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return too_large();
            }
            Ok(parse_float(text).and_then(truncated).map_or(default, Value::Int))
        }
        Value::Float(value) if value.is_nan() => Ok(default),
        Value::Float(value) if value.is_infinite() => runtime("cannot convert float infinity to integer"),
        Value::Float(value) => truncated(*value).map_or_else(too_large, |value| Ok(Value::Int(value))),
        other => Ok(other.as_int().map_or(default, Value::Int)),
    }
}

pub(super) fn float(_: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [default] = args.bind("float", ["default"], 0)?;
    let default = default.unwrap_or(Value::Float(0.0));
    match &value {
        Value::Undefined(undefined) => undefined.fail(),
        Value::Str(text) => Ok(parse_float(text).map_or(default, Value::Float)),
        other => Ok(other.as_number().map_or(default, Value::Float)),
    }
}

pub(super) fn round(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [precision, method] = args.bind("round", ["precision", "method"], 0)?;
    let precision = integer_or(precision.as_ref(), 0, "round: precision")?;
    let method = method.as_ref().map_or(Some("common"), Value::as_str);
    let Some(method @ ("common" | "ceil" | "floor")) = method else {
        return runtime("method must be common, ceil or floor");
    };
    if let Value::Undefined(undefined) = &value {
        return undefined.fail();
    }
    let Some(number) = value.as_number() else {
        return runtime(format!("type {} doesn't define __round__ method", value.type_name()));
    };
    interpreter.budget.step(float_steps(number, length(precision)))?;
    if method == "common" {
        return Ok(match value.as_int() {
            Some(whole) if precision >= 0 => Value::Int(whole),
            Some(whole) => return rounded_int(whole, precision).map_or_else(too_large, |value| Ok(Value::Int(value))),
            None => Value::Float(rounded(number, precision)),
        });
    }
    let unit = 10_f64.powi(precision.clamp(-400, 400) as i32);
    let scaled = number * unit;
    if !scaled.is_finite() || unit == 0.0 {
        return runtime("cannot convert float to integer");
    }
    let whole = if method == "ceil" { scaled.ceil() } else { scaled.floor() };
    // As whole numbers these have no negative zero.
    Ok(Value::Float((whole + 0.0) / unit))
}

pub(super) fn filesizeformat(_: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [binary] = args.bind("filesizeformat", ["binary"], 0)?;
    let binary = flag(binary.as_ref());
    let bytes = match &value {
        Value::Undefined(undefined) => return undefined.fail(),
        Value::Str(text) => parse_float(text),
        other => other.as_number(),
    };
    let Some(bytes) = bytes else {
        return runtime("filesizeformat: not a number");
    };
    let base = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok(Value::str("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::str(format!("{} Bytes", truncated(bytes).map_or_else(too_large, Ok)?)));
    }
    let prefixes = if binary {
        ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    } else {
        ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
    };
    let mut unit = base;
    let last = prefixes.len() - 1;
    for (at, prefix) in prefixes.into_iter().enumerate() {
        unit *= base;
        if bytes < unit || at == last {
            return Ok(Value::str(format!("{} {prefix}", fixed(base * bytes / unit, 1, false))));
        }
    }
    Ok(Value::str(""))
}
