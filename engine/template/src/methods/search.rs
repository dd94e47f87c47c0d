//! Where a text is within another: `find`, `count`, `startswith` and the same from the other end.

use crate::args::{Args, integer};
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::value::Value;

/// The part of `text` between two places in characters, and the place where it starts; `None` where it is nothing, not
/// even empty.
fn part<'t>(text: &'t str, start: Option<&Value>, end: Option<&Value>) -> Result<Option<(&'t str, usize)>> {
    let given = |value: Option<&Value>| match value {
        None | Some(Value::None) => Ok(None),
        Some(value) => integer(value, "slice indices must be integers or None").map(Some),
    };
    let (start, end) = (given(start)?, given(end)?);
    if start.is_none() && end.is_none() {
        return Ok(Some((text, 0)));
    }
    let count = text.chars().count() as i128;
    let place = |at: i128| if at < 0 { at.saturating_add(count).max(0) } else { at };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(count)).min(count));
    if start > end {
        return Ok(None);
    }
    let byte = |at: i128| text.char_indices().nth(at as usize).map_or(text.len(), |(at, _)| at);
    Ok(Some((&text[byte(start)..byte(end)], start as usize)))
}

/// `find`, `rfind`, `index`, `rindex`.
pub(super) fn find(interpreter: &mut Interpreter<'_>, text: &str, name: &str, args: Args) -> Result<Value> {
    let [wanted, start, end] = args.bind(name, ["sub", "start", "end"], 1)?;
    let wanted = wanted.unwrap_or(Value::None);
    let Some(wanted) = wanted.as_str() else { return no_text(&wanted) };
    interpreter.budget.scan(text.len())?;
    let found = part(text, start.as_ref(), end.as_ref())?.and_then(|(part, start)| {
        let at = if name.starts_with('r') { part.rfind(wanted) } else { part.find(wanted) }?;
        Some(start + part[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::Int(at as i128)),
        None if name.ends_with("index") => runtime("substring not found"),
        None => Ok(Value::Int(-1)),
    }
}

pub(super) fn count(interpreter: &mut Interpreter<'_>, text: &str, args: Args) -> Result<Value> {
    let [wanted, start, end] = args.bind("count", ["sub", "start", "end"], 1)?;
    let wanted = wanted.unwrap_or(Value::None);
    let Some(wanted) = wanted.as_str() else { return no_text(&wanted) };
    interpreter.budget.scan(text.len())?;
    let count = part(text, start.as_ref(), end.as_ref())?.map_or(0, |(part, _)| part.matches(wanted).count());
    Ok(Value::Int(count as i128))
}

/// `startswith`, `endswith`; of several texts one is enough.
pub(super) fn affix(interpreter: &mut Interpreter<'_>, text: &str, name: &str, args: Args) -> Result<Value> {
    let [wanted, start, end] = args.bind(name, ["affix", "start", "end"], 1)?;
    let wanted = match wanted.unwrap_or(Value::None) {
        Value::Tuple(several) => several.to_vec(),
        one => vec![one],
    };
    if start.is_some() || end.is_some() {
        interpreter.budget.scan(text.len())?;
    }
    let part = part(text, start.as_ref(), end.as_ref())?;
    for wanted in &wanted {
        let Some(wanted) = wanted.as_str() else {
            let got = wanted.type_name();
            return runtime(format!("{name} first arg must be str or a tuple of str, not {got}"));
        };
        interpreter.budget.scan(wanted.len())?;
        let holds = part.is_some_and(|(part, _)| match name {
            "startswith" => part.starts_with(wanted),
            _ => part.ends_with(wanted),
        });
        if holds {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

pub(super) fn no_text<T>(value: &Value) -> Result<T> {
    runtime(format!("must be str, not {}", value.type_name()))
}
