//! `map`, `select`, `reject` and the same by attribute.

use super::attributes::Getter;
use super::groups::generator;
use crate::args::Args;
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::tests;
use crate::value::Value;

pub(super) fn map(interpreter: &mut Interpreter<'_>, value: Value, mut args: Args) -> Result<Value> {
    if !value.truthy() {
        return generator(Vec::new());
    }
    let items = interpreter.iterate(&value)?;
    let mut out = Vec::with_capacity(items.len());
    let by_attribute = args.keyword.iter().position(|(name, _)| name == "attribute");
    if args.positional.is_empty()
        && let Some(at) = by_attribute
    {
        let mut getter = Getter::new(Some(&args.keyword.remove(at).1));
        if let Some(at) = args.keyword.iter().position(|(name, _)| name == "default") {
            getter.default = Some(args.keyword.remove(at).1).filter(|default| !matches!(default, Value::None));
        }
        if let Some((name, _)) = args.keyword.first() {
            return runtime(format!("Unexpected keyword argument '{name}'"));
        }
        for item in items {
            out.push(getter.get(interpreter, &item)?);
        }
        return generator(out);
    }
    let mut positional = args.positional.into_iter();
    let Some(name) = positional.next() else { return runtime("map requires a filter argument") };
    let Some(name) = name.as_str() else { return runtime("map: the name of a filter is a text") };
    let rest: Vec<Value> = positional.collect();
    for item in items {
        interpreter.budget.step(1 + rest.len() as u64)?;
        let args = Args { positional: rest.clone(), keyword: args.keyword.clone() };
        out.push(super::apply(interpreter, name, item, args)?);
    }
    generator(out)
}

pub(super) fn select(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    filtered(interpreter, &value, args, true, false)
}

pub(super) fn reject(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    filtered(interpreter, &value, args, false, false)
}

pub(super) fn selectattr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    filtered(interpreter, &value, args, true, true)
}

pub(super) fn rejectattr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    filtered(interpreter, &value, args, false, true)
}

/// The items for which the test says `keep`.
fn filtered(
    interpreter: &mut Interpreter<'_>,
    value: &Value,
    args: Args,
    keep: bool,
    by_attribute: bool,
) -> Result<Value> {
    if !value.truthy() {
        return generator(Vec::new());
    }
    let mut positional = args.positional.into_iter();
    let getter = if by_attribute {
        let Some(attribute) = positional.next() else { return runtime("Missing parameter for attribute name") };
        Getter::new(Some(&attribute))
    } else {
        Getter::new(None)
    };
    let test = positional.next();
    let rest: Vec<Value> = positional.collect();
    let mut out = Vec::new();
    for item in interpreter.iterate(value)? {
        interpreter.budget.step(1 + rest.len() as u64)?;
        let tested = getter.get(interpreter, &item)?;
        let holds = match &test {
            None => tested.truthy(),
            Some(Value::Str(name)) => {
                let args = Args { positional: rest.clone(), keyword: args.keyword.clone() };
                tests::apply(interpreter, name, &tested, args)?
            }
            Some(_) => return runtime("the name of a test is a text"),
        };
        if holds == keep {
            out.push(item);
        }
    }
    generator(out)
}
