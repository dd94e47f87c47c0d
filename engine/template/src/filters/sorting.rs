//! Order: `sort`, `dictsort`, `groupby`, `unique`, `min`, `max`.

use super::attributes::Getter;
use super::groups::generator;
use crate::args::{Args, flag};
use crate::compare::{equal, order, sort};
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::limits::Budget;
use crate::methods;
use crate::value::{Dict, Object, Value};

/// Texts without their case; other values as they are.
fn key(interpreter: &Interpreter<'_>, value: Value, case_sensitive: bool) -> Result<Value> {
    match &value {
        Value::Str(text) if !case_sensitive => interpreter.budget.text(methods::lower(&interpreter.budget, text)?),
        _ => Ok(value),
    }
}

/// `plain`: the keys are compared themselves, not as lists of one.
fn less(budget: &Budget<'_>, a: &[Value], b: &[Value], plain: bool) -> Result<bool> {
    for (a, b) in a.iter().zip(b) {
        budget.compare(a, b)?;
        if !equal(a, b) {
            return Ok(order(a, b, "<")?.is_some_and(|order| order.is_lt()));
        }
    }
    match (a, b) {
        // Python asks for the order of equal values too, and not all have one.
        ([a], [b]) if plain => order(a, b, "<").map(|_| false),
        _ => Ok(false),
    }
}

/// `items` sorted by their keys.
fn sorted(
    interpreter: &Interpreter<'_>,
    items: Vec<(Vec<Value>, Value)>,
    reverse: bool,
    plain: bool,
) -> Result<Vec<(Vec<Value>, Value)>> {
    let budget = &interpreter.budget;
    budget.alloc_n(items.len(), 3 * size_of::<Value>())?;
    sort(items, reverse, &mut |a, b| {
        budget.step(2)?;
        less(budget, &a.0, &b.0, plain)
    })
}

pub(super) fn sort_filter(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let names = ["reverse", "case_sensitive", "attribute"];
    let [reverse, case_sensitive, attribute] = args.bind("sort", names, 0)?;
    let getters = Getter::several(attribute.as_ref());
    let mut keyed = Vec::new();
    for item in interpreter.iterate(&value)? {
        let mut keys = Vec::with_capacity(getters.len());
        interpreter.budget.alloc_n(getters.len(), size_of::<Value>())?;
        for getter in &getters {
            let value = getter.get(interpreter, &item)?;
            keys.push(key(interpreter, value, flag(case_sensitive.as_ref()))?);
        }
        keyed.push((keys, item));
    }
    let items = sorted(interpreter, keyed, flag(reverse.as_ref()), false)?;
    interpreter.budget.list(items.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn dictsort(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [case_sensitive, by, reverse] = args.bind("dictsort", ["case_sensitive", "by", "reverse"], 0)?;
    let by_value = match by.as_ref().map_or(Some("key"), Value::as_str) {
        Some("key") => false,
        Some("value") => true,
        _ => return runtime("You can only sort by either \"key\" or \"value\""),
    };
    let Value::Dict(dict) = &value else {
        return match &value {
            Value::Undefined(undefined) => undefined.fail(),
            _ => runtime(format!("'{} object' has no attribute 'items'", value.type_name())),
        };
    };
    let mut keyed = Vec::new();
    for (name, value) in dict.entries() {
        let sort_key = if by_value { value } else { name }.clone();
        let sort_key = key(interpreter, sort_key, flag(case_sensitive.as_ref()))?;
        keyed.push((vec![sort_key], interpreter.budget.tuple(vec![name.clone(), value.clone()])?));
    }
    let items = sorted(interpreter, keyed, flag(reverse.as_ref()), true)?;
    interpreter.budget.list(items.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn groupby(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let names = ["attribute", "default", "case_sensitive"];
    let [attribute, default, case_sensitive] = args.bind("groupby", names, 1)?;
    let mut getter = Getter::new(attribute.as_ref());
    getter.default = default.filter(|default| !matches!(default, Value::None));
    let mut keyed = Vec::new();
    for item in interpreter.iterate(&value)? {
        let value = getter.get(interpreter, &item)?;
        keyed.push((vec![key(interpreter, value, flag(case_sensitive.as_ref()))?], item));
    }
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (mut keys, item) in sorted(interpreter, keyed, false, true)? {
        let Some(key) = keys.pop() else { continue };
        match groups.last_mut() {
            Some((last, items)) if equal(last, &key) => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut out = Vec::with_capacity(groups.len());
    for (_, items) in groups {
        let grouper = getter.get(interpreter, &items[0])?;
        let items = interpreter.budget.list(items)?;
        let pair = interpreter.budget.tuple(vec![grouper, items])?;
        out.push(Value::Object(Object::Group(pair).into()));
    }
    interpreter.budget.list(out)
}

pub(super) fn unique(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [case_sensitive, attribute] = args.bind("unique", ["case_sensitive", "attribute"], 0)?;
    let getter = Getter::new(attribute.as_ref());
    let mut seen = Dict::default();
    let mut out = Vec::new();
    for item in interpreter.iterate(&value)? {
        let value = getter.get(interpreter, &item)?;
        let key = key(interpreter, value, flag(case_sensitive.as_ref()))?;
        interpreter.budget.key(&key)?;
        interpreter.budget.alloc(4 * size_of::<Value>())?;
        if seen.insert(key)? {
            out.push(item);
        }
    }
    generator(out)
}

pub(super) fn min(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    extreme(interpreter, &value, args, false)
}

pub(super) fn max(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    extreme(interpreter, &value, args, true)
}

fn extreme(interpreter: &mut Interpreter<'_>, value: &Value, args: Args, largest: bool) -> Result<Value> {
    let [case_sensitive, attribute] = args.bind("min", ["case_sensitive", "attribute"], 0)?;
    let getter = Getter::new(attribute.as_ref());
    let mut best: Option<(Value, Value)> = None;
    for item in interpreter.iterate(value)? {
        let value = getter.get(interpreter, &item)?;
        let key = key(interpreter, value, flag(case_sensitive.as_ref()))?;
        let better = match &best {
            None => true,
            Some((other, _)) => {
                interpreter.budget.compare(&key, other)?;
                let order = order(&key, other, if largest { ">" } else { "<" })?;
                order.is_some_and(|order| if largest { order.is_gt() } else { order.is_lt() })
            }
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::hint("No aggregated item, sequence was empty."), |(_, item)| item))
}
