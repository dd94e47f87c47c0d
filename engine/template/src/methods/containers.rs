//! Methods of lists, tuples, ranges and maps.

use crate::args::{Args, integer_or};
use crate::compare::equal;
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::value::{Dict, Value, ViewKind};
use std::rc::Rc;

pub(super) fn call(interpreter: &mut Interpreter<'_>, value: &Value, name: &str, args: Args) -> Result<Value> {
    match value {
        Value::Dict(dict) => dict_method(interpreter, dict, name, args),
        _ => match name {
            "copy" => {
                args.bind(name, [], 0)?;
                let items = interpreter.iterate(value)?;
                interpreter.budget.list(items)
            }
            "count" => {
                let [wanted] = args.bind(name, ["value"], 1)?;
                let wanted = wanted.unwrap_or(Value::None);
                let mut count = 0;
                for item in interpreter.iterate(value)? {
                    interpreter.budget.compare(&item, &wanted)?;
                    count += i128::from(equal(&item, &wanted));
                }
                Ok(Value::Int(count))
            }
            _ => index(interpreter, value, args),
        },
    }
}

fn index(interpreter: &mut Interpreter<'_>, value: &Value, args: Args) -> Result<Value> {
    let [wanted, start, stop] = args.bind("index", ["value", "start", "stop"], 1)?;
    let wanted = wanted.unwrap_or(Value::None);
    let items = interpreter.iterate(value)?;
    let len = items.len() as i128;
    let place = |at: i128| if at < 0 { at.saturating_add(len).max(0) } else { at.min(len) };
    let start = place(integer_or(start.as_ref(), 0, "index")?);
    let stop = place(integer_or(stop.as_ref(), len, "index")?);
    for at in start..stop {
        let item = &items[at as usize];
        interpreter.budget.compare(item, &wanted)?;
        if equal(item, &wanted) {
            return Ok(Value::Int(at));
        }
    }
    runtime(format!("the value is not in the {}", value.type_name()))
}

fn dict_method(interpreter: &mut Interpreter<'_>, dict: &Rc<Dict>, name: &str, args: Args) -> Result<Value> {
    match name {
        "get" => {
            let [key, default] = args.bind(name, ["key", "default"], 1)?;
            let key = key.unwrap_or(Value::None);
            interpreter.budget.key(&key)?;
            Ok(dict.get(&key)?.cloned().or(default).unwrap_or(Value::None))
        }
        "fromkeys" => {
            let [keys, value] = args.bind(name, ["iterable", "value"], 1)?;
            let keys = interpreter.iterate(&keys.unwrap_or(Value::None))?;
            let value = value.unwrap_or(Value::None);
            interpreter.budget.dict(keys.into_iter().map(|key| (key, value.clone())).collect())
        }
        _ => {
            args.bind(name, [], 0)?;
            let view = |kind| Ok(Value::View(dict.clone(), kind));
            match name {
                "items" => view(ViewKind::Items),
                "keys" => view(ViewKind::Keys),
                "values" => view(ViewKind::Values),
                _ => interpreter.budget.dict(dict.entries().to_vec()),
            }
        }
    }
}
