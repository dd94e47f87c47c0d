//! The filter `tojson` as transformers sets it up: Python's `json.dumps`, with `ensure_ascii=False`.

use crate::args::{Args, flag, integer, length};
use crate::compare::{order, sort};
use crate::error::{Result, runtime};
use crate::limits::Budget;
use crate::number::float_repr;
use crate::value::Value;

pub(crate) fn tojson(budget: &Budget<'_>, value: &Value, args: Args) -> Result<Value> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ensure_ascii, indent, separators, sort_keys] = args.bind("tojson", names, 0)?;
    let indent = match &indent {
        None | Some(Value::None) => None,
        Some(Value::Str(text)) => {
            budget.alloc(text.len())?;
            Some((**text).to_owned())
        }
        Some(width) => {
            let width = length(integer(width, "tojson: indent")?);
            budget.alloc(width)?;
            Some(" ".repeat(width))
        }
    };
    let (item, key) = match &separators {
        None | Some(Value::None) => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some(Value::List(pair) | Value::Tuple(pair)) => match &pair[..] {
            [Value::Str(item), Value::Str(key)] => {
                budget.alloc(item.len() + key.len())?;
                ((**item).to_owned(), (**key).to_owned())
            }
            _ => return runtime("tojson: separators are two strings"),
        },
        Some(_) => return runtime("tojson: separators are two strings"),
    };
    let mut writer = Writer {
        budget,
        out: String::new(),
        ensure_ascii: flag(ensure_ascii.as_ref()),
        indent,
        item,
        key,
        sort_keys: flag(sort_keys.as_ref()),
        depth: 0,
    };
    writer.value(value)?;
    budget.text(writer.out)
}

struct Writer<'a, 'b> {
    budget: &'a Budget<'b>,
    out: String,
    ensure_ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort_keys: bool,
    depth: usize,
}

impl Writer<'_, '_> {
    fn push(&mut self, text: &str) -> Result<()> {
        self.budget.alloc(text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    /// A new line within `depth` brackets, where there are lines.
    fn line(&mut self) -> Result<()> {
        let Some(indent) = self.indent.take() else { return Ok(()) };
        self.budget.alloc(indent.len().saturating_mul(self.depth).saturating_add(1))?;
        self.out.push('\n');
        for _ in 0..self.depth {
            self.out.push_str(&indent);
        }
        self.indent = Some(indent);
        Ok(())
    }

    fn separate(&mut self, first: bool) -> Result<()> {
        if !first {
            let item = std::mem::take(&mut self.item);
            self.push(&item)?;
            self.item = item;
        }
        self.line()
    }

    fn value(&mut self, value: &Value) -> Result<()> {
        self.budget.step(1)?;
        match value {
            Value::None => self.push("null"),
            Value::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Value::Int(value) => self.push(&value.to_string()),
            Value::Float(value) => {
                self.budget.step(10)?;
                self.push(&float(*value))
            }
            Value::Str(text) => self.text(text),
            Value::List(items) | Value::Tuple(items) => {
                self.push("[")?;
                self.depth += 1;
                for (at, item) in items.iter().enumerate() {
                    self.separate(at == 0)?;
                    self.value(item)?;
                }
                self.close(items.is_empty(), "]")
            }
            Value::Dict(dict) => self.dict(dict.entries()),
            Value::Object(object) => match &**object {
                crate::value::Object::Group(pair) => self.value(pair),
                _ => not_json(value),
            },
            _ => not_json(value),
        }
    }

    fn close(&mut self, empty: bool, bracket: &str) -> Result<()> {
        self.depth -= 1;
        if !empty {
            self.line()?;
        }
        self.push(bracket)
    }

    fn dict(&mut self, entries: &[(Value, Value)]) -> Result<()> {
        let mut sorted = Vec::new();
        if self.sort_keys {
            self.budget.alloc_n(entries.len(), size_of::<Value>())?;
            let budget = self.budget;
            sorted = sort(entries.iter().collect::<Vec<_>>(), false, &mut |a, b| {
                budget.compare(&a.0, &b.0)?;
                Ok(order(&a.0, &b.0, "<")?.is_some_and(|order| order.is_lt()))
            })?;
        }
        self.push("{")?;
        self.depth += 1;
        for at in 0..entries.len() {
            let (key, value) = if self.sort_keys { sorted[at] } else { &entries[at] };
            self.separate(at == 0)?;
            match key {
                Value::Str(text) => self.text(text)?,
                Value::None => self.text("null")?,
                Value::Bool(value) => self.text(if *value { "true" } else { "false" })?,
                Value::Int(value) => self.text(&value.to_string())?,
                Value::Float(value) => self.text(&float(*value))?,
                other => {
                    let message = "keys must be str, int, float, bool or None, not";
                    return runtime(format!("{message} {}", other.type_name()));
                }
            }
            let key = std::mem::take(&mut self.key);
            self.push(&key)?;
            self.key = key;
            self.value(value)?;
        }
        self.close(entries.is_empty(), "}")
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.budget.alloc(text.len() + 2)?;
        self.out.push('"');
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            let escape = match c {
                '"' => "\\\"".into(),
                '\\' => "\\\\".into(),
                '\n' => "\\n".into(),
                '\r' => "\\r".into(),
                '\t' => "\\t".into(),
                '\u{8}' => "\\b".into(),
                '\u{c}' => "\\f".into(),
                c if c < ' ' || self.ensure_ascii && !c.is_ascii() => units(c),
                _ => continue,
            };
            self.budget.alloc(escape.len())?;
            self.out.push_str(&text[plain..at]);
            self.out.push_str(&escape);
            plain = at + c.len_utf8();
        }
        self.out.push_str(&text[plain..]);
        self.out.push('"');
        Ok(())
    }
}

fn units(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn float(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        value => float_repr(value),
    }
}

fn not_json<T>(value: &Value) -> Result<T> {
    runtime(format!("Object of type {} is not JSON serializable", value.type_name()))
}
