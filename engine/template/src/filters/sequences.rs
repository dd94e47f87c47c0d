//! Sequences as a whole: their length, their ends, their sum.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::attributes::Getter;
use super::groups::generator;
use super::html::escape;
use crate::args::{Args, flag};
use crate::ast::BinaryOp;
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::ops;
use crate::repr::{to_str, write_str};
use crate::value::{Iter, Object, Value};

pub(super) fn length(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("length", [], 0)?;
    let length = match &value {
        Value::Undefined(_) => 0,
        Value::Str(text) => {
            interpreter.budget.scan(text.len())?;
            text.chars().count()
        }
        Value::List(items) | Value::Tuple(items) => items.len(),
        Value::Dict(dict) | Value::View(dict, _) => dict.len(),
        Value::Range(range) => range.len() as usize,
        Value::Object(object) => match &**object {
            Object::Group(_) => 2,
            Object::Loop(_) => return interpreter.attribute(&value, "length"),
            _ => return no_length(&value),
        },
        _ => return no_length(&value),
    };
    Ok(Value::Int(length as i128))
}

fn no_length(value: &Value) -> Result<Value> {
    runtime(format!("object of type '{}' has no len()", value.type_name()))
}

pub(super) fn default(_: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [default, boolean] = args.bind("default", ["default_value", "boolean"], 0)?;
    let absent = value.is_undefined() || flag(boolean.as_ref()) && !value.truthy();
    Ok(if absent { default.unwrap_or_else(|| Value::str("")) } else { value })
}

pub(super) fn first(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("first", [], 0)?;
    let first = match &value {
        Value::Iter(iter) => iter.next(),
        Value::List(items) | Value::Tuple(items) => items.first().cloned(),
        Value::Str(text) => text.chars().next().map(|c| Value::str(c.encode_utf8(&mut [0; 4]))),
        other => interpreter.iterate(other)?.into_iter().next(),
    };
    Ok(first.unwrap_or_else(|| Value::hint("No first item, sequence was empty.")))
}

pub(super) fn last(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("last", [], 0)?;
    let last = match &value {
        Value::List(items) | Value::Tuple(items) => items.last().cloned(),
        Value::Str(text) => text.chars().next_back().map(|c| Value::str(c.encode_utf8(&mut [0; 4]))),
        Value::Iter(_) => return runtime(format!("'{}' object is not reversible", value.type_name())),
        other => interpreter.iterate(other)?.pop(),
    };
    Ok(last.unwrap_or_else(|| Value::hint("No last item, sequence was empty.")))
}

pub(super) fn random(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("random", [], 0)?;
    let items = interpreter.iterate(&value)?;
    if items.is_empty() {
        return Ok(Value::hint("No random item, sequence was empty."));
    }
    let number = RandomState::new().build_hasher().finish();
    Ok(items[(number % items.len() as u64) as usize].clone())
}

pub(super) fn list(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("list", [], 0)?;
    let items = interpreter.iterate(&value)?;
    interpreter.budget.list(items)
}

pub(super) fn items(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("items", [], 0)?;
    match &value {
        Value::Undefined(_) => generator(Vec::new()),
        Value::Dict(dict) => {
            let pairs = Value::View(dict.clone(), crate::value::ViewKind::Items);
            generator(interpreter.iterate(&pairs)?)
        }
        _ => runtime("Can only get item pairs from a mapping."),
    }
}

pub(super) fn reverse(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("reverse", [], 0)?;
    if let Value::Str(text) = &value {
        interpreter.budget.alloc(text.len())?;
        return Ok(Value::str(text.chars().rev().collect::<String>()));
    }
    let type_name = match &value {
        Value::List(_) => "list_reverseiterator",
        Value::Dict(_) => "dict_reversekeyiterator",
        Value::Range(_) => "range_iterator",
        _ => "reversed",
    };
    let mut items = interpreter.iterate(&value)?;
    items.reverse();
    // An iterator cannot be reversed; it becomes a list first.
    if matches!(value, Value::Iter(_)) {
        return interpreter.budget.list(items);
    }
    Ok(Value::Iter(Iter::new(type_name, items)?.into()))
}

pub(super) fn join(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [separator, attribute] = args.bind("join", ["d", "attribute"], 0)?;
    let mut items = interpreter.iterate(&value)?;
    if attribute.as_ref().is_some_and(|attribute| !matches!(attribute, Value::None)) {
        let getter = Getter::new(attribute.as_ref());
        for item in &mut items {
            *item = getter.get(interpreter, item)?;
        }
    }
    let budget = &interpreter.budget;
    let separator = separator.unwrap_or_else(|| Value::str(""));
    let markup = interpreter.autoescape && (separator.is_markup() || items.iter().any(Value::is_markup));
    let part = |value: &Value| if markup { escape(budget, value) } else { to_str(budget, value) };
    let separator = part(&separator)?;
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            write_str(budget, &mut out, &separator)?;
        }
        let item = if markup { part(item)? } else { item.clone() };
        write_str(budget, &mut out, &item)?;
    }
    budget.marked(out, markup)
}

pub(super) fn sum(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [attribute, start] = args.bind("sum", ["attribute", "start"], 0)?;
    let mut total = start.unwrap_or(Value::Int(0));
    if total.as_str().is_some() {
        return runtime("sum() can't sum strings [use ''.join(seq) instead]");
    }
    let getter = Getter::new(attribute.as_ref());
    for item in interpreter.iterate(&value)? {
        interpreter.budget.step(1)?;
        let item = getter.get(interpreter, &item)?;
        total = ops::binary(interpreter, BinaryOp::Add, &total, &item)?;
    }
    Ok(total)
}
