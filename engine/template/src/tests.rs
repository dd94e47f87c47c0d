//! The tests behind `is`.

use crate::args::Args;
use crate::ast::{BinaryOp, CompareOp};
use crate::compare::{equal, identical};
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::repr::to_str;
use crate::unicode::is_cased;
use crate::value::{Object, Value};
use crate::{filters, ops};

const NAMES: [&str; 38] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
];

pub(crate) fn exists(name: &str) -> bool {
    name == "le" || NAMES.contains(&name)
}

/// `value is name(args)`.
pub(crate) fn apply(interpreter: &mut Interpreter<'_>, name: &str, value: &Value, args: Args) -> Result<bool> {
    let compared = match name {
        "==" | "eq" | "equalto" => Some(CompareOp::Eq),
        "!=" | "ne" => Some(CompareOp::Ne),
        ">" | "gt" | "greaterthan" => Some(CompareOp::Gt),
        ">=" | "ge" => Some(CompareOp::Ge),
        "<" | "lt" | "lessthan" => Some(CompareOp::Lt),
        "<=" | "le" => Some(CompareOp::Le),
        "in" => Some(CompareOp::In),
        _ => None,
    };
    if compared.is_some() || matches!(name, "divisibleby" | "sameas") {
        let [other] = args.bind(name, [if name == "in" { "seq" } else { "other" }], 1)?;
        let other = other.unwrap_or(Value::None);
        return match compared {
            Some(operator) => interpreter.compare(operator, value, &other),
            None if name == "sameas" => Ok(identical(value, &other)),
            None => {
                let rest = ops::binary(interpreter, BinaryOp::Mod, value, &other)?;
                Ok(equal(&rest, &Value::Int(0)))
            }
        };
    }
    args.bind(name, [], 0)?;
    Ok(match name {
        "odd" | "even" => {
            let rest = ops::binary(interpreter, BinaryOp::Mod, value, &Value::Int(2))?;
            equal(&rest, &Value::Int((name == "odd").into()))
        }
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "filter" => value.as_str().is_some_and(filters::exists),
        "test" => value.as_str().is_some_and(exists),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "false" => matches!(value, Value::Bool(false)),
        "true" => matches!(value, Value::Bool(true)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_)),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "escaped" => value.is_markup(),
        "lower" | "upper" => {
            let text = to_str(&interpreter.budget, value)?;
            let text = text.as_str().unwrap_or_default();
            interpreter.budget.scan(text.len())?;
            let lower = name == "lower";
            text.chars().any(is_cased)
                && text
                    .chars()
                    .filter(|c| is_cased(*c))
                    .all(|c| if lower { c.is_lowercase() } else { c.is_uppercase() })
        }
        "sequence" => match value {
            Value::Object(object) => matches!(&**object, Object::Group(_)),
            Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Range(_) => true,
            // It has a length, and an item is only looked for when it is asked for.
            Value::Undefined(_) => true,
            _ => false,
        },
        "iterable" => match value {
            Value::Object(object) => matches!(&**object, Object::Group(_) | Object::Loop(_)),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
            Value::Function(_) | Value::Method(_) => false,
            _ => true,
        },
        "callable" => match value {
            Value::Object(object) => matches!(&**object, Object::Macro(_) | Object::Joiner { .. } | Object::Loop(_)),
            Value::Function(_) | Value::Method(_) | Value::Undefined(_) => true,
            _ => false,
        },
        _ => return runtime(format!("No test named '{name}'.")),
    })
}
