//! Python's `repr` and `str` of a value.

use std::rc::Rc;

use crate::error::{Result, runtime};
use crate::limits::Budget;
use crate::number::float_repr;
use crate::unicode::{escape, is_printable};
use crate::value::{Function, Object, Value, ViewKind};

/// Python's `str(value)`.
pub(crate) fn to_str(budget: &Budget<'_>, value: &Value) -> Result<Value> {
    match value {
        Value::Str(_) => Ok(value.clone()),
        Value::Undefined(_) => Ok(Value::str("")),
        other => budget.text(repr(budget, other)?),
    }
}

/// Appends Python's `str(value)` to `out`, which counts as memory.
pub(crate) fn write_str(budget: &Budget<'_>, out: &mut String, value: &Value) -> Result<()> {
    match value {
        Value::Str(text) => push(budget, out, text),
        Value::Undefined(_) => Ok(()),
        other => Printer { budget, namespaces: Vec::new() }.write(out, other),
    }
}

/// Python's `repr(value)`.
pub(crate) fn repr(budget: &Budget<'_>, value: &Value) -> Result<String> {
    let mut out = String::new();
    Printer { budget, namespaces: Vec::new() }.write(&mut out, value)?;
    Ok(out)
}

fn push(budget: &Budget<'_>, out: &mut String, text: &str) -> Result<()> {
    budget.alloc(text.len())?;
    out.push_str(text);
    Ok(())
}

struct Printer<'a, 'b> {
    budget: &'a Budget<'b>,
    /// those that are being printed: one within itself is an ellipsis
    namespaces: Vec<*const Object>,
}

impl Printer<'_, '_> {
    fn write(&mut self, out: &mut String, value: &Value) -> Result<()> {
        self.budget.step(1)?;
        match value {
            Value::Undefined(_) => self.push(out, "Undefined"),
            Value::None => self.push(out, "None"),
            Value::Bool(true) => self.push(out, "True"),
            Value::Bool(false) => self.push(out, "False"),
            Value::Int(value) => self.push(out, &value.to_string()),
            Value::Float(value) => {
                self.budget.step(10)?;
                self.push(out, &float_repr(*value))
            }
            Value::Str(text) if text.markup => {
                self.push(out, "Markup(")?;
                self.push(out, &str_repr(self.budget, text)?)?;
                self.push(out, ")")
            }
            Value::Str(text) => self.push(out, &str_repr(self.budget, text)?),
            Value::List(items) => self.items(out, "[", items, "]"),
            Value::Tuple(items) => self.items(out, "(", items, if items.len() == 1 { ",)" } else { ")" }),
            Value::Dict(dict) => self.pairs(out, dict.entries()),
            Value::View(dict, kind) => {
                self.push(out, value.type_name())?;
                self.push(out, "([")?;
                for (place, (key, value)) in dict.entries().iter().enumerate() {
                    self.push(out, if place == 0 { "" } else { ", " })?;
                    match kind {
                        ViewKind::Keys => self.write(out, key)?,
                        ViewKind::Values => self.write(out, value)?,
                        ViewKind::Items => self.items(out, "(", &[key.clone(), value.clone()], ")")?,
                    }
                }
                self.push(out, "])")
            }
            Value::Range(range) if range.step == 1 => {
                self.push(out, &format!("range({}, {})", range.start, range.stop))
            }
            Value::Range(range) => self.push(out, &format!("range({}, {}, {})", range.start, range.stop, range.step)),
            Value::Iter(iter) => self.push(out, &format!("<{} object>", iter.type_name)),
            Value::Function(function) => self.push(out, function_repr(*function)),
            Value::Method(method) => {
                self.push(out, &format!("<built-in method {} of {} object>", method.1, method.0.type_name()))
            }
            Value::Object(object) => self.object(out, object),
        }
    }

    fn push(&self, out: &mut String, text: &str) -> Result<()> {
        push(self.budget, out, text)
    }

    fn items(&mut self, out: &mut String, open: &str, items: &[Value], close: &str) -> Result<()> {
        self.push(out, open)?;
        for (place, item) in items.iter().enumerate() {
            self.push(out, if place == 0 { "" } else { ", " })?;
            self.write(out, item)?;
        }
        self.push(out, close)
    }

    fn pairs(&mut self, out: &mut String, pairs: &[(Value, Value)]) -> Result<()> {
        self.push(out, "{")?;
        for (place, (key, value)) in pairs.iter().enumerate() {
            self.push(out, if place == 0 { "" } else { ", " })?;
            self.write(out, key)?;
            self.push(out, ": ")?;
            self.write(out, value)?;
        }
        self.push(out, "}")
    }

    fn object(&mut self, out: &mut String, object: &Rc<Object>) -> Result<()> {
        match &**object {
            Object::Namespace(attributes) => {
                self.push(out, "<Namespace ")?;
                if self.namespaces.contains(&Rc::as_ptr(object)) {
                    self.push(out, "{...}")?;
                } else if self.namespaces.len() > 20 {
                    return runtime("maximum recursion depth exceeded: namespaces within namespaces");
                } else {
                    let attributes = attributes.borrow();
                    let pairs: Vec<_> =
                        attributes.iter().map(|(name, value)| (Value::str(name), value.clone())).collect();
                    self.namespaces.push(Rc::as_ptr(object));
                    self.pairs(out, &pairs)?;
                    self.namespaces.pop();
                }
                self.push(out, ">")
            }
            Object::Macro(function) => match &function.name {
                Some(name) => self.push(out, &format!("<Macro {}>", str_repr(self.budget, name)?)),
                None => self.push(out, "<Macro anonymous>"),
            },
            Object::Loop(state) => {
                let length = state.length.get().map_or("?".into(), |length| length.to_string());
                self.push(out, &format!("<LoopContext {}/{length}>", state.index0.get() + 1))
            }
            Object::Cycler { .. } => self.push(out, "<jinja2.utils.Cycler object>"),
            Object::Joiner { .. } => self.push(out, "<jinja2.utils.Joiner object>"),
            Object::Group(pair) => self.write(out, pair),
        }
    }
}

fn function_repr(function: Function) -> &'static str {
    match function {
        Function::Range => "<function safe_range>",
        Function::Dict => "<class 'dict'>",
        Function::Lipsum => "<function generate_lorem_ipsum>",
        Function::Cycler => "<class 'jinja2.utils.Cycler'>",
        Function::Joiner => "<class 'jinja2.utils.Joiner'>",
        Function::Namespace => "<class 'jinja2.utils.Namespace'>",
        Function::RaiseException => "<function raise_exception>",
        Function::StrftimeNow => "<function strftime_now>",
    }
}

/// Python's `repr` of a `str`.
pub(crate) fn str_repr(budget: &Budget<'_>, text: &str) -> Result<String> {
    budget.alloc(text.len() + 2)?;
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_ascii() && is_printable(c) => out.push(c),
            c if budget.step(8).map(|()| is_printable(c))? => out.push(c),
            c => {
                let escape = escape(c);
                budget.alloc(escape.len())?;
                out.push_str(&escape);
            }
        }
    }
    out.push(quote);
    Ok(out)
}
