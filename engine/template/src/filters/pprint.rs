//! `pprint`: Python's `pprint.pformat`, keys sorted, in lines of 80 characters.

use crate::args::Args;
use crate::compare::{order, sort};
use crate::error::Result;
use crate::interpreter::Interpreter;
use crate::limits::Budget;
use crate::repr::repr;
use crate::value::{Dict, Value};

const WIDTH: usize = 80;

pub(super) fn pprint(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("pprint", [], 0)?;
    let budget = &interpreter.budget;
    let mut out = String::new();
    write(budget, &mut out, &sorted(budget, &value)?, 0, 0)?;
    budget.text(out)
}

/// `value` with the keys of its maps in order, where they have one.
fn sorted(budget: &Budget<'_>, value: &Value) -> Result<Value> {
    budget.step(1)?;
    match value {
        Value::List(items) => budget.list(items.iter().map(|item| sorted(budget, item)).collect::<Result<_>>()?),
        Value::Tuple(items) => budget.tuple(items.iter().map(|item| sorted(budget, item)).collect::<Result<_>>()?),
        Value::Dict(dict) => {
            let mut less = |a: &(Value, Value), b: &(Value, Value)| {
                budget.compare(&a.0, &b.0)?;
                Ok(match order(&a.0, &b.0, "<") {
                    Ok(order) => order.is_some_and(|order| order.is_lt()),
                    Err(_) => a.0.type_name() < b.0.type_name(),
                })
            };
            let mut pairs = Vec::new();
            for (key, value) in dict.entries() {
                pairs.push((key.clone(), sorted(budget, value)?));
            }
            budget.dict(sort(pairs, false, &mut less)?)
        }
        other => Ok(other.clone()),
    }
}

/// `allowance`: characters that follow on the last line.
fn write(budget: &Budget<'_>, out: &mut String, value: &Value, indent: usize, allowance: usize) -> Result<()> {
    let text = repr(budget, value)?;
    if text.chars().count() + indent + allowance <= WIDTH {
        out.push_str(&text);
        return Ok(());
    }
    match value {
        Value::List(items) => {
            out.push('[');
            write_items(budget, out, items, indent, allowance, "]")
        }
        Value::Tuple(items) => {
            out.push('(');
            write_items(budget, out, items, indent, allowance, if items.len() == 1 { ",)" } else { ")" })
        }
        Value::Dict(dict) => write_dict(budget, out, dict, indent, allowance),
        _ => {
            out.push_str(&text);
            Ok(())
        }
    }
}

fn new_line(budget: &Budget<'_>, out: &mut String, indent: usize) -> Result<()> {
    budget.alloc(indent + 2)?;
    out.push_str(",\n");
    out.extend(std::iter::repeat_n(' ', indent));
    Ok(())
}

fn write_items(
    budget: &Budget<'_>,
    out: &mut String,
    items: &[Value],
    indent: usize,
    allowance: usize,
    close: &str,
) -> Result<()> {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            new_line(budget, out, indent + 1)?;
        }
        let last = at + 1 == items.len();
        write(budget, out, item, indent + 1, if last { allowance + close.len() } else { 1 })?;
    }
    out.push_str(close);
    Ok(())
}

fn write_dict(budget: &Budget<'_>, out: &mut String, dict: &Dict, indent: usize, allowance: usize) -> Result<()> {
    out.push('{');
    for (at, (key, value)) in dict.entries().iter().enumerate() {
        if at > 0 {
            new_line(budget, out, indent + 1)?;
        }
        let key = repr(budget, key)?;
        out.push_str(&key);
        out.push_str(": ");
        let last = at + 1 == dict.len();
        let inner = indent + key.chars().count() + 3;
        write(budget, out, value, inner, if last { allowance + 1 } else { 1 })?;
    }
    out.push('}');
    Ok(())
}
