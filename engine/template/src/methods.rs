//! The methods of Python's types that a template may call. Those that change their object are not: the sandbox is
//! immutable.

mod case;
mod containers;
mod predicates;
mod search;
mod split;
mod text;

use crate::args::Args;
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::value::{Object, Value};

pub(crate) use case::lower;
pub(crate) use split::{ends_line, lines};

/// What an attribute of a value is.
pub(crate) enum Found {
    Method,
    Value(Value),
    /// a method that the sandbox refuses
    Mutates,
    Nothing,
}

const STR: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// The attribute `name` of a value that is none of the interpreter's own objects.
pub(crate) fn find(value: &Value, name: &str) -> Found {
    let method = |names: &[&str]| if names.contains(&name) { Found::Method } else { Found::Nothing };
    let mutating = |names: &[&str], others: &[&str]| match names.contains(&name) {
        true => Found::Mutates,
        false => method(others),
    };
    match value {
        Value::Str(text) if text.markup && matches!(name, "striptags" | "unescape") => Found::Method,
        Value::Str(_) => method(&STR),
        Value::Dict(_) => mutating(
            &["clear", "pop", "popitem", "setdefault", "update"],
            &["copy", "fromkeys", "get", "items", "keys", "values"],
        ),
        Value::List(_) => mutating(
            &["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"],
            &["copy", "count", "index"],
        ),
        Value::Tuple(_) => method(&["count", "index"]),
        Value::Range(range) => match name {
            "start" => Found::Value(Value::Int(range.start)),
            "stop" => Found::Value(Value::Int(range.stop)),
            "step" => Found::Value(Value::Int(range.step)),
            _ => method(&["count", "index"]),
        },
        Value::Int(_) | Value::Bool(_) => match name {
            "real" | "numerator" => Found::Value(Value::Int(value.as_int().unwrap_or_default())),
            "imag" => Found::Value(Value::Int(0)),
            "denominator" => Found::Value(Value::Int(1)),
            _ => method(&["as_integer_ratio", "bit_count", "bit_length", "conjugate", "is_integer"]),
        },
        Value::Float(number) => match name {
            "real" => Found::Value(Value::Float(*number)),
            "imag" => Found::Value(Value::Float(0.0)),
            _ => method(&["conjugate", "is_integer"]),
        },
        _ => Found::Nothing,
    }
}

/// `value.name(args)`.
#[inline(never)]
pub(crate) fn call(interpreter: &mut Interpreter<'_>, value: &Value, name: &str, args: Args) -> Result<Value> {
    match value {
        Value::Str(text) => text::call(interpreter, text, name, args),
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => number(value, name, args),
        Value::Object(object) => match &**object {
            Object::Loop(state) => interpreter.loop_method(state, name, args),
            Object::Cycler { items, at } => {
                args.bind(name, [], 0)?;
                let current = at.get();
                at.set(if name == "next" { (current + 1) % items.len() } else { 0 });
                Ok(if name == "next" { items[current].clone() } else { Value::None })
            }
            Object::Group(pair) => containers::call(interpreter, pair, name, args),
            _ => runtime(format!("'{}' object is not callable", value.type_name())),
        },
        _ => containers::call(interpreter, value, name, args),
    }
}

fn number(value: &Value, name: &str, args: Args) -> Result<Value> {
    args.bind(name, [], 0)?;
    Ok(match (value, name) {
        (Value::Float(number), "is_integer") => (number.is_finite() && number.fract() == 0.0).into(),
        (_, "is_integer") => true.into(),
        (_, "bit_length") => {
            let magnitude = value.as_int().unwrap_or_default().unsigned_abs();
            Value::Int((u128::BITS - magnitude.leading_zeros()).into())
        }
        (_, "bit_count") => Value::Int(value.as_int().unwrap_or_default().unsigned_abs().count_ones().into()),
        (_, "as_integer_ratio") => {
            let whole = Value::Int(value.as_int().unwrap_or_default());
            Value::Tuple(crate::value::Seq::new(vec![whole, Value::Int(1)])?.into())
        }
        (Value::Bool(value), _) => Value::Int((*value).into()),
        _ => value.clone(),
    })
}
