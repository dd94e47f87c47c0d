//! Lists in parts: `batch`, `slice`.

use crate::args::{Args, integer};
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::value::{Iter, Value};

pub(super) fn generator(items: Vec<Value>) -> Result<Value> {
    Ok(Value::Iter(Iter::new("generator", items)?.into()))
}

pub(super) fn batch(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [count, fill] = args.bind("batch", ["linecount", "fill_with"], 1)?;
    let count = integer(&count.unwrap_or(Value::None), "batch")?;
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    for item in interpreter.iterate(&value)? {
        if batch.len() as i128 == count {
            batches.push(interpreter.budget.list(std::mem::take(&mut batch))?);
        }
        batch.push(item);
    }
    if !batch.is_empty() {
        if let Some(fill) = fill.filter(|fill| !matches!(fill, Value::None)) {
            let missing = crate::args::length(count - batch.len() as i128);
            interpreter.budget.alloc_n(missing, size_of::<Value>())?;
            batch.extend(std::iter::repeat_n(fill, missing));
        }
        batches.push(interpreter.budget.list(batch)?);
    }
    generator(batches)
}

pub(super) fn slice(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [slices, fill] = args.bind("slice", ["slices", "fill_with"], 1)?;
    let slices = integer(&slices.unwrap_or(Value::None), "slice")?;
    let items = interpreter.iterate(&value)?;
    if slices == 0 {
        return runtime("integer division or modulo by zero");
    }
    let fill = fill.filter(|fill| !matches!(fill, Value::None));
    let slices = crate::args::length(slices);
    let mut out = Vec::new();
    let mut items = items.into_iter();
    let (each, with_extra) = (items.len() / slices.max(1), items.len() % slices.max(1));
    for slice in 0..slices {
        let extra = slice < with_extra;
        let mut part: Vec<Value> = items.by_ref().take(each + usize::from(extra)).collect();
        if !extra {
            part.extend(fill.clone());
        }
        out.push(interpreter.budget.list(part)?);
    }
    generator(out)
}
