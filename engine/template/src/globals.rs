//! The functions that every template knows.

use crate::args::{Args, integer};
use crate::clock;
use crate::error::{ErrorKind, Result, TemplateError, limit, runtime};
use crate::interpreter::Interpreter;
use crate::limits::RANGE;
use crate::repr::to_str;
use crate::value::{Function, Object, Range, Seq, Value};

/// The names, in the order of [`Function`].
pub(crate) const NAMES: [(&str, Function); 8] = [
    ("range", Function::Range),
    ("dict", Function::Dict),
    ("lipsum", Function::Lipsum),
    ("cycler", Function::Cycler),
    ("joiner", Function::Joiner),
    ("namespace", Function::Namespace),
    ("raise_exception", Function::RaiseException),
    ("strftime_now", Function::StrftimeNow),
];

pub(crate) fn find(name: &str) -> Option<Value> {
    NAMES.iter().find(|(other, _)| *other == name).map(|(_, function)| Value::Function(*function))
}

pub(crate) fn call(interpreter: &mut Interpreter<'_>, function: Function, mut args: Args) -> Result<Value> {
    match function {
        Function::Range => range(args),
        Function::Dict => {
            let pairs = pairs(interpreter, &mut args)?;
            interpreter.budget.dict(pairs)
        }
        Function::Namespace => {
            let mut attributes: Vec<(String, Value)> = Vec::new();
            for (name, value) in pairs(interpreter, &mut args)? {
                let Value::Str(name) = &to_str(&interpreter.budget, &name)? else { continue };
                interpreter.budget.step(attributes.len() as u64 / 8)?;
                match attributes.iter_mut().find(|(other, _)| **other == **name) {
                    Some((_, old)) => *old = value,
                    None => attributes.push(((**name).to_owned(), value)),
                }
            }
            interpreter.namespace(attributes)
        }
        Function::Cycler => {
            if let Some((name, _)) = args.keyword.first() {
                return runtime(format!("cycler() got an unexpected keyword argument '{name}'"));
            }
            if args.positional.is_empty() {
                return runtime("at least one item has to be provided");
            }
            interpreter.budget.alloc_n(args.positional.len(), size_of::<Value>())?;
            let items = Seq::new(args.positional)?.into();
            Ok(Value::Object(Object::Cycler { items, at: 0.into() }.into()))
        }
        Function::Joiner => {
            let [separator] = args.bind("joiner", ["sep"], 0)?;
            let separator = Seq::new(vec![separator.unwrap_or_else(|| Value::str(", "))])?.into();
            Ok(Value::Object(Object::Joiner { separator, used: false.into() }.into()))
        }
        Function::RaiseException => {
            let [message] = args.bind("raise_exception", ["message"], 1)?;
            let message = to_str(&interpreter.budget, &message.unwrap_or(Value::None))?;
            Err(TemplateError::new(ErrorKind::Raised, message.as_str().unwrap_or_default()))
        }
        Function::StrftimeNow => {
            let [format] = args.bind("strftime_now", ["format"], 1)?;
            let format = format.unwrap_or(Value::None);
            let Some(format) = format.as_str() else { return runtime("strftime() argument 1 must be str") };
            // No directive is longer than a few dozen characters; finding the zone and each of them takes a while.
            interpreter.budget.alloc_n(format.len(), 24)?;
            interpreter.budget.step(40 + 20 * format.matches('%').count() as u64)?;
            interpreter.budget.text(clock::strftime_now(format))
        }
        Function::Lipsum => runtime("lipsum is random text, which a chat template has no use for"),
    }
}

fn range(args: Args) -> Result<Value> {
    let [a, b, c] = args.bind("range", ["start", "stop", "step"], 1)?;
    let int = |value: &Value| integer(value, "range");
    let first = a.as_ref().map_or(Ok(0), int)?;
    let (start, stop) = match &b {
        Some(stop) => (first, int(stop)?),
        None => (0, first),
    };
    let step = c.as_ref().map_or(Ok(1), int)?;
    if step == 0 {
        return runtime("range() arg 3 must not be zero");
    }
    let range = Range { start, stop, step };
    if range.len() > RANGE {
        return limit(format!("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({RANGE})."));
    }
    Ok(Value::Range(range.into()))
}

/// The arguments of `dict`: a map or pairs, and names.
fn pairs(interpreter: &mut Interpreter<'_>, args: &mut Args) -> Result<Vec<(Value, Value)>> {
    let mut pairs = Vec::new();
    if args.positional.len() > 1 {
        return runtime(format!("dict expected at most 1 argument, got {}", args.positional.len()));
    }
    match args.positional.pop() {
        None => {}
        Some(Value::Dict(dict)) => pairs.extend_from_slice(dict.entries()),
        Some(items) => {
            for item in interpreter.iterate(&items)? {
                let mut pair = interpreter.iterate(&item)?.into_iter();
                match (pair.next(), pair.next(), pair.next()) {
                    (Some(key), Some(value), None) => pairs.push((key, value)),
                    _ => return runtime("dictionary update sequence element has not length 2"),
                }
            }
        }
    }
    interpreter.budget.alloc_n(args.keyword.len(), 64)?;
    pairs.extend(std::mem::take(&mut args.keyword).into_iter().map(|(name, value)| (Value::str(name), value)));
    Ok(pairs)
}
