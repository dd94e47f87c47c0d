//! Text for HTML and addresses: `escape`, `striptags`, `urlencode`, `xmlattr`.

use crate::args::{Args, flag};
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::limits::Budget;
use crate::repr::to_str;
use crate::unicode::is_space;
use crate::value::Value;

/// `text` with the characters that mean something in HTML as references.
pub(crate) fn escaped(budget: &Budget<'_>, text: &str) -> Result<String> {
    let special = text.bytes().filter(|byte| b"&<>\"'".contains(byte)).count();
    budget.alloc(text.len() + 4 * special)?;
    let mut out = String::with_capacity(text.len() + 4 * special);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A value as markup: escaped, unless it is.
pub(crate) fn escape(budget: &Budget<'_>, value: &Value) -> Result<Value> {
    if value.is_markup() {
        return Ok(value.clone());
    }
    let text = to_str(budget, value)?;
    budget.marked(escaped(budget, text.as_str().unwrap_or_default())?, true)
}

pub(super) fn escape_filter(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("escape", [], 0)?;
    escape(&interpreter.budget, &value)
}

pub(super) fn forceescape(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("forceescape", [], 0)?;
    let text = to_str(&interpreter.budget, &value)?;
    escape(&interpreter.budget, &text.with_markup(false))
}

pub(super) fn safe(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("safe", [], 0)?;
    Ok(to_str(&interpreter.budget, &value)?.with_markup(true))
}

pub(super) fn striptags(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("striptags", [], 0)?;
    let text = to_str(&interpreter.budget, &value)?;
    let text = text.as_str().unwrap_or_default();
    interpreter.budget.alloc_n(text.len(), 3)?;
    let text = without(&without(text, "<!--", "-->"), "<", ">");
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    interpreter.budget.text(unescaped(&words.join(" ")))
}

/// `text` without what is from `open` to `close`.
fn without(text: &str, open: &str, close: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let Some(len) = rest[start..].find(close) else { break };
        out.push_str(&rest[..start]);
        rest = &rest[start + len + close.len()..];
    }
    out.push_str(rest);
    out
}

/// The references that text in HTML usually has.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '#').map_or(rest.len(), |end| end + 1);
        match reference(&rest[1..end]).filter(|_| rest[end..].starts_with(';')) {
            Some(c) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn reference(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return if code == 0 { Some('\u{fffd}') } else { char::from_u32(code) };
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "hellip" => '…',
        "mdash" => '—',
        "ndash" => '–',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "bull" => '•',
        "middot" => '·',
        "euro" => '€',
        "times" => '×',
        _ => return None,
    })
}

fn quoted(budget: &Budget<'_>, value: &Value, query: bool) -> Result<String> {
    let text = to_str(budget, value)?;
    let text = text.as_str().unwrap_or_default();
    budget.alloc_n(text.len(), 3)?;
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(byte.into()),
            b'/' if !query => out.push('/'),
            b' ' if query => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

pub(super) fn urlencode(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.bind("urlencode", [], 0)?;
    let items = match &value {
        Value::Dict(dict) => Value::View(dict.clone(), crate::value::ViewKind::Items),
        Value::List(_) | Value::Tuple(_) | Value::Iter(_) | Value::View(..) | Value::Undefined(_) => value,
        other => return interpreter.budget.text(quoted(&interpreter.budget, other, false)?),
    };
    let mut pairs = Vec::new();
    for pair in interpreter.iterate(&items)? {
        match &interpreter.iterate(&pair)?[..] {
            [key, value] => {
                let budget = &interpreter.budget;
                pairs.push(format!("{}={}", quoted(budget, key, true)?, quoted(budget, value, true)?));
            }
            _ => return runtime("urlencode: pairs are expected"),
        }
    }
    interpreter.budget.text(pairs.join("&"))
}

pub(super) fn xmlattr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [autospace] = args.bind("xmlattr", ["autospace"], 0)?;
    let Value::Dict(dict) = &value else {
        return runtime(format!("'{} object' has no attribute 'items'", value.type_name()));
    };
    let budget = &interpreter.budget;
    let mut out = String::new();
    for (key, value) in dict.entries() {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let Some(name) = key.as_str() else { return runtime("expected string or bytes-like object") };
        if name.contains(|c: char| c.is_ascii_whitespace() || "\u{b}/>=".contains(c)) {
            return runtime(format!("Invalid character in attribute name: '{name}'"));
        }
        if !out.is_empty() || autospace.is_none() || flag(autospace.as_ref()) {
            out.push(' ');
        }
        out.push_str(escape(budget, key)?.as_str().unwrap_or_default());
        out.push_str("=\"");
        out.push_str(escape(budget, value)?.as_str().unwrap_or_default());
        out.push('"');
    }
    budget.marked(out, interpreter.autoescape)
}
