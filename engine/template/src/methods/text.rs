//! Methods of `str`.

use super::search::no_text;
use super::{case, predicates, search, split};
use crate::args::{Args, flag, integer, integer_or, length};
use crate::error::{Result, runtime};
use crate::filters::escape;
use crate::format::braces;
use crate::interpreter::Interpreter;
use crate::unicode::is_space;
use crate::value::{Text, Value};

pub(super) fn call(interpreter: &mut Interpreter<'_>, text: &Text, name: &str, args: Args) -> Result<Value> {
    if let Some(holds) = predicates::holds("", name).and_then(|_| predicates::holds(text, name)) {
        args.bind(name, [], 0)?;
        interpreter.budget.step(text.len() as u64 / 4)?;
        return Ok(holds.into());
    }
    let result = match name {
        "find" | "rfind" | "index" | "rindex" => return search::find(interpreter, text, name, args),
        "count" => return search::count(interpreter, text, args),
        "startswith" | "endswith" => return search::affix(interpreter, text, name, args),
        "format" => return braces::format(interpreter, text, args),
        "format_map" => {
            let [map] = args.bind(name, ["mapping"], 1)?;
            let Some(Value::Dict(dict)) = map else { return runtime("format_map: a mapping is expected") };
            interpreter.budget.alloc_n(dict.len(), 64)?;
            let named = |(key, value): &(Value, Value)| Some((key.as_str()?.to_owned(), value.clone()));
            let keyword = dict.entries().iter().filter_map(named).collect();
            return braces::format(interpreter, text, Args { positional: Vec::new(), keyword });
        }
        "split" | "rsplit" | "splitlines" => return parts(interpreter, text, name, args),
        "partition" | "rpartition" => partition(interpreter, text, name, args)?,
        "join" => join(interpreter, text, args)?,
        "strip" | "lstrip" | "rstrip" => strip(interpreter, text, name, args)?,
        "center" | "ljust" | "rjust" => justified(interpreter, text, name, args)?,
        "removeprefix" | "removesuffix" => {
            let [affix] = args.bind(name, ["affix"], 1)?;
            let affix = affix.unwrap_or(Value::None);
            let Some(affix) = affix.as_str() else { return no_text(&affix) };
            let rest = if name == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            interpreter.budget.text(rest.unwrap_or(text))?
        }
        "replace" => replace(interpreter, text, args)?,
        "expandtabs" => {
            let [size] = args.bind(name, ["tabsize"], 0)?;
            let size = length(integer_or(size.as_ref(), 8, name)?);
            let mut out = String::new();
            let mut total = 0_usize;
            split::expanded(text, size, &mut |_, count| total = total.saturating_add(count));
            interpreter.budget.alloc(total.saturating_add(text.len()))?;
            split::expanded(text, size, &mut |c, count| out.extend(std::iter::repeat_n(c.unwrap_or(' '), count)));
            Value::str(out)
        }
        "zfill" => {
            let [width] = args.bind(name, ["width"], 1)?;
            let width = length(integer(&width.unwrap_or(Value::None), name)?);
            let missing = width.saturating_sub(text.chars().count());
            interpreter.budget.alloc(text.len().saturating_add(missing))?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            Value::str(format!("{sign}{}{digits}", "0".repeat(missing)))
        }
        "encode" | "translate" | "maketrans" => return runtime(format!("str.{name} is not supported in templates")),
        "striptags" | "unescape" => {
            return crate::filters::apply(interpreter, "striptags", Value::Str(text.clone()), args);
        }
        _ => {
            args.bind(name, [], 0)?;
            let budget = &interpreter.budget;
            Value::str(match name {
                "upper" => case::upper(budget, text)?,
                "lower" => case::lower(budget, text)?,
                "capitalize" => case::capitalize(budget, text)?,
                "casefold" => case::casefold(budget, text)?,
                "swapcase" => case::swapcase(budget, text)?,
                "title" => case::title(budget, text)?,
                other => return runtime(format!("'str' object has no attribute '{other}'")),
            })
        }
    };
    Ok(result.with_markup(text.markup))
}

fn parts(interpreter: &mut Interpreter<'_>, text: &Text, name: &str, args: Args) -> Result<Value> {
    let budget = &interpreter.budget;
    budget.scan(text.len())?;
    let parts: Vec<&str> = if name == "splitlines" {
        let [keep] = args.bind(name, ["keepends"], 0)?;
        // Each part is a value of its own.
        budget.alloc_n(text.matches(split::is_line_end).count(), 48)?;
        split::lines(text, flag(keep.as_ref()))
    } else {
        let [separator, most] = args.bind(name, ["sep", "maxsplit"], 0)?;
        let most = integer_or(most.as_ref(), -1, name)?;
        let most = if most < 0 { usize::MAX } else { length(most) };
        match separator {
            None | Some(Value::None) => {
                budget.alloc_n(text.len() / 2, 16)?;
                if name == "split" { split::at_space(text, most) } else { split::at_space_from_end(text, most) }
            }
            Some(Value::Str(separator)) if separator.is_empty() => return runtime("empty separator"),
            Some(Value::Str(separator)) => {
                budget.alloc_n(text.matches(&*separator).count(), 48)?;
                let count = most.saturating_add(1);
                if name == "split" {
                    text.splitn(count, &*separator).collect()
                } else {
                    let mut parts: Vec<_> = text.rsplitn(count, &*separator).collect();
                    parts.reverse();
                    parts
                }
            }
            Some(other) => return no_text(&other),
        }
    };
    let parts = parts.into_iter().map(|part| budget.marked(part, text.markup)).collect::<Result<_>>()?;
    budget.list(parts)
}

fn partition(interpreter: &mut Interpreter<'_>, text: &Text, name: &str, args: Args) -> Result<Value> {
    let [separator] = args.bind(name, ["sep"], 1)?;
    let separator = separator.unwrap_or(Value::None);
    let Some(separator) = separator.as_str() else { return no_text(&separator) };
    if separator.is_empty() {
        return runtime("empty separator");
    }
    let budget = &interpreter.budget;
    let found = if name == "partition" { text.split_once(separator) } else { text.rsplit_once(separator) };
    let [a, b, c] = match found {
        Some((before, after)) => [before, separator, after],
        None if name == "partition" => [text, "", ""],
        None => ["", "", text],
    };
    let part = |part: &str| budget.marked(part, text.markup);
    budget.tuple(vec![part(a)?, part(b)?, part(c)?])
}

fn join(interpreter: &mut Interpreter<'_>, text: &Text, args: Args) -> Result<Value> {
    let [items] = args.bind("join", ["iterable"], 1)?;
    let items = interpreter.iterate(&items.unwrap_or(Value::None))?;
    let budget = &interpreter.budget;
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        let item = if text.markup { escape(budget, item)? } else { item.clone() };
        let Some(item) = item.as_str() else {
            return runtime(format!("sequence item {at}: expected str instance, {} found", item.type_name()));
        };
        let separator = if at > 0 { &**text } else { "" };
        budget.alloc(separator.len() + item.len())?;
        out.push_str(separator);
        out.push_str(item);
    }
    budget.text(out)
}

fn strip(interpreter: &mut Interpreter<'_>, text: &Text, name: &str, args: Args) -> Result<Value> {
    let [chars] = args.bind(name, ["chars"], 0)?;
    let chars = match &chars {
        None | Some(Value::None) => None,
        Some(Value::Str(chars)) => Some(&**chars),
        Some(_) => return runtime(format!("{name} arg must be None or str")),
    };
    if let Some(chars) = chars {
        interpreter.budget.step((text.len() as u64 / 4).saturating_mul(1 + chars.len() as u64 / 8))?;
    }
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    interpreter.budget.text(match name {
        "strip" => text.trim_matches(goes),
        "lstrip" => text.trim_start_matches(goes),
        _ => text.trim_end_matches(goes),
    })
}

fn justified(interpreter: &mut Interpreter<'_>, text: &Text, name: &str, args: Args) -> Result<Value> {
    let [width, fill] = args.bind(name, ["width", "fillchar"], 1)?;
    let width = length(integer(&width.unwrap_or(Value::None), name)?);
    let fill = fill.unwrap_or_else(|| Value::str(" "));
    let mut fills = fill.as_str().unwrap_or_default().chars();
    let (Some(fill), None) = (fills.next(), fills.next()) else {
        return runtime("The fill character must be exactly one character long");
    };
    let missing = width.saturating_sub(text.chars().count());
    interpreter.budget.alloc(text.len().saturating_add(missing.saturating_mul(fill.len_utf8())))?;
    let before = match name {
        "center" => missing / 2 + (missing & width & 1),
        "rjust" => missing,
        _ => 0,
    };
    let mut out = String::new();
    out.extend(std::iter::repeat_n(fill, before));
    out.push_str(text);
    out.extend(std::iter::repeat_n(fill, missing - before));
    Ok(Value::str(out))
}

fn replace(interpreter: &mut Interpreter<'_>, text: &Text, args: Args) -> Result<Value> {
    let [old, new, count] = args.bind("replace", ["old", "new", "count"], 2)?;
    let budget = &interpreter.budget;
    let (mut old, mut new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
    if text.markup {
        (old, new) = (escape(budget, &old)?, escape(budget, &new)?);
    }
    let Some(old) = old.as_str() else { return no_text(&old) };
    let Some(new) = new.as_str() else { return no_text(&new) };
    let most = integer_or(count.as_ref(), -1, "replace")?;
    budget.scan(text.len())?;
    let found = text.matches(old).count();
    let count = if most < 0 { found } else { found.min(length(most)) };
    budget.alloc(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::str(text.replacen(old, new, count)))
}
