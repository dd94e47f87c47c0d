//! The `tojson` filter of chat templates: what transformers gives them, `json.dumps(x, ensure_ascii=False)`. The
//! filter of the same name that Jinja itself has escapes `<` and `&` for HTML, which no model was trained on.

use std::io::{self, Write};

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::Formatter;

pub(super) fn tojson(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let ensure_ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    // Objects are sorted by key already.
    let _sort_keys: Option<bool> = kwargs.get("sort_keys")?;
    kwargs.assert_all_used()?;
    let [item, key] = match separators.as_deref() {
        Some([item, key]) => [item.as_str(), key.as_str()],
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators are two strings")),
        None => [if indent.is_some() { "," } else { ", " }, ": "],
    };
    let mut bytes = Vec::new();
    let layout = PythonLayout { item, key, indent, depth: 0, empty: false };
    let invalid = |error: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, error.to_string());
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, layout))
        .map_err(|error| invalid(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| invalid(&error))?;
    Ok(Value::from_safe_string(if ensure_ascii { escaped(&text) } else { text }))
}

/// Characters beyond ASCII only occur within strings, where an escape means the same.
fn escaped(json: &str) -> String {
    let mut units = [0; 2];
    let escape = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    json.chars().map(escape).collect()
}

/// The whitespace of Python's `json.dumps`.
struct PythonLayout<'a> {
    item: &'a str,
    key: &'a str,
    indent: Option<usize>,
    depth: usize,
    /// nothing written yet in the innermost list or object
    empty: bool,
}

impl PythonLayout<'_> {
    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        match self.indent {
            Some(indent) => write!(writer, "\n{:1$}", "", indent * self.depth),
            None => Ok(()),
        }
    }

    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.line(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }
}

impl Formatter for PythonLayout<'_> {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }
    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }
    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use minijinja::value::{Serde, Value};
    use minijinja::{Environment, context};

    /// Expected texts printed by Python's `json.dumps(value, ensure_ascii=False, ...)`.
    #[test]
    fn tojson_is_pythons() {
        let value = serde_json::json!({ "a": [1, 2.5, "<é> \"\n"], "b": {}, "c": [], "d": null, "e": { "f": true } });
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::tojson);
        let render = |filter: &str| {
            environment
                .render_str(&format!("{{{{ x | {filter} }}}}"), context! { x => Value::from(Serde(&value)) })
                .unwrap()
        };
        assert_eq!(render("tojson"), r#"{"a": [1, 2.5, "<é> \"\n"], "b": {}, "c": [], "d": null, "e": {"f": true}}"#);
        assert_eq!(
            render("tojson(indent=2)"),
            "{\n  \"a\": [\n    1,\n    2.5,\n    \"<é> \\\"\\n\"\n  ],\n  \"b\": {},\n  \"c\": [],\n  \"d\": null,\n  \"e\": {\n    \"f\": true\n  }\n}"
        );
        assert_eq!(
            render("tojson(separators=(',', ':'), ensure_ascii=true)"),
            r#"{"a":[1,2.5,"<\u00e9> \"\n"],"b":{},"c":[],"d":null,"e":{"f":true}}"#
        );
    }
}
