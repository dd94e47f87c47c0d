//! Text: its case, its fields, its lines.

use crate::args::{Args, flag, integer, integer_or, length};
use crate::error::{Result, runtime};
use crate::format::percent;
use crate::interpreter::Interpreter;
use crate::methods;
use crate::repr::to_str;
use crate::value::{Text, Value};

/// The text of a value, escaped or not as it is.
fn soft(interpreter: &Interpreter<'_>, value: &Value) -> Result<Text> {
    match to_str(&interpreter.budget, value)? {
        Value::Str(text) => Ok(text),
        _ => Ok(Text::from("")),
    }
}

/// Calls a method of `str`.
fn method(interpreter: &mut Interpreter<'_>, name: &str, value: &Value, args: Args) -> Result<Value> {
    let text = Value::Str(soft(interpreter, value)?);
    methods::call(interpreter, &text, name, args)
}

pub(super) fn upper(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    method(interpreter, "upper", &value, args)
}

pub(super) fn lower(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    method(interpreter, "lower", &value, args)
}

pub(super) fn capitalize(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    method(interpreter, "capitalize", &value, args)
}

pub(super) fn trim(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [chars] = args.bind("trim", ["chars"], 0)?;
    method(interpreter, "strip", &value, Args { positional: chars.into_iter().collect(), keyword: Vec::new() })
}

pub(super) fn center(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [width] = args.bind("center", ["width"], 0)?;
    let width = width.unwrap_or(Value::Int(80));
    method(interpreter, "center", &value, Args { positional: vec![width], keyword: Vec::new() })
}

pub(super) fn replace(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [old, new, count] = args.bind("replace", ["old", "new", "count"], 2)?;
    let count = count.filter(|count| !matches!(count, Value::None));
    let mut positional = Vec::new();
    for part in [old, new].into_iter().flatten() {
        positional.push(Value::Str(soft(interpreter, &part)?).with_markup(false));
    }
    positional.extend(count);
    let text = Value::Str(soft(interpreter, &value)?).with_markup(false);
    methods::call(interpreter, &text, "replace", Args { positional, keyword: Vec::new() })
}

/// A capital at each start of a word, where a word ends at a space, a hyphen or an opening bracket.
pub(super) fn title(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("title", [], 0)?;
    let text = soft(interpreter, &value)?;
    interpreter.budget.alloc(text.len())?;
    let breaks = |c: char| crate::unicode::is_space(c) || "-({[<".contains(c);
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(breaks) {
        let mut chars = word.chars();
        if let Some(first) = chars.next() {
            out.extend(first.to_uppercase());
            out.push_str(&chars.as_str().to_lowercase());
        }
    }
    interpreter.budget.marked(out, text.markup)
}

pub(super) fn string(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("string", [], 0)?;
    to_str(&interpreter.budget, &value)
}

pub(super) fn format(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let text = soft(interpreter, &value)?;
    if !args.positional.is_empty() && !args.keyword.is_empty() {
        return runtime("can't handle positional and keyword arguments at the same time");
    }
    let values = if args.keyword.is_empty() {
        interpreter.budget.tuple(args.positional)?
    } else {
        let pairs = args.keyword.into_iter().map(|(name, value)| (Value::str(name), value)).collect();
        interpreter.budget.dict(pairs)?
    };
    percent::format(interpreter, &text, &values)
}

pub(super) fn wordcount(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("wordcount", [], 0)?;
    let text = soft(interpreter, &value)?;
    interpreter.budget.scan(text.len())?;
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    Ok(Value::Int(words.count() as i128))
}

pub(super) fn indent(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"], 0)?;
    let text = match &value {
        Value::Str(text) => text,
        Value::Undefined(undefined) => return undefined.fail(),
        other => return runtime(format!("indent: a text is expected, not '{}'", other.type_name())),
    };
    let indention = match &width {
        Some(Value::Str(text)) => (**text).to_owned(),
        width => {
            let width = length(integer_or(width.as_ref(), 4, "indent")?);
            interpreter.budget.alloc(width)?;
            " ".repeat(width)
        }
    };
    let (first, blank) = (flag(first.as_ref()), flag(blank.as_ref()));
    let mut lines = methods::lines(text, false);
    if text.is_empty() || methods::ends_line(text) {
        lines.push("");
    }
    interpreter.budget.alloc_n(lines.len(), indention.len() + 1)?;
    interpreter.budget.alloc(text.len())?;
    let mut out = String::new();
    for (at, line) in lines.into_iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if if at == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    interpreter.budget.marked(out, text.markup)
}

pub(super) fn truncate(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [longest, kill_words, end, leeway] = args.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let longest = integer_or(longest.as_ref(), 255, "truncate")?;
    let leeway = match &leeway {
        None | Some(Value::None) => 5,
        Some(leeway) => integer(leeway, "truncate")?,
    };
    let end = end.unwrap_or_else(|| Value::str("..."));
    let Some(end) = end.as_str() else { return runtime("truncate: the end is a text") };
    let end_len = end.chars().count() as i128;
    if longest < end_len {
        return runtime(format!("expected length >= {end_len}, got {longest}"));
    }
    if leeway < 0 {
        return runtime(format!("expected leeway >= 0, got {leeway}"));
    }
    let text = match &value {
        Value::Str(text) => text,
        Value::Undefined(_) => return Ok(value),
        other => return runtime(format!("truncate: a text is expected, not '{}'", other.type_name())),
    };
    interpreter.budget.scan(text.len())?;
    if text.chars().count() as i128 <= longest.saturating_add(leeway) {
        return Ok(value);
    }
    let kept = text.char_indices().nth(length(longest - end_len)).map_or(&**text, |(at, _)| &text[..at]);
    let kept = if flag(kill_words.as_ref()) { kept } else { kept.rsplit_once(' ').map_or(kept, |(kept, _)| kept) };
    interpreter.budget.marked(format!("{kept}{end}"), text.markup)
}
