//! Python's `text.format(...)`, as the sandbox of Jinja2 lets it reach attributes.

use super::percent::ascii;
use super::spec;
use crate::args::Args;
use crate::error::{Result, runtime};
use crate::filters::escape;
use crate::interpreter::Interpreter;
use crate::number::parse_int;
use crate::repr::{repr, to_str};
use crate::value::{Text, Value};

/// Levels of fields within format specifications, the text itself included.
const LEVELS: usize = 3;

struct Formatter<'a, 'b> {
    interpreter: &'a mut Interpreter<'b>,
    args: Args,
    /// the next field without a number
    next: usize,
    /// fields are numbered
    numbered: bool,
    markup: bool,
}

pub(crate) fn format(interpreter: &mut Interpreter<'_>, text: &Text, args: Args) -> Result<Value> {
    let mut formatter = Formatter { interpreter, args, next: 0, numbered: false, markup: text.markup };
    let out = formatter.expanded(text, LEVELS)?;
    interpreter.budget.marked(out, text.markup)
}

impl Formatter<'_, '_> {
    fn expanded(&mut self, format: &str, levels: usize) -> Result<String> {
        if levels == 0 {
            return runtime("Max string recursion exceeded");
        }
        self.interpreter.budget.alloc(format.len())?;
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            self.interpreter.budget.step(1)?;
            out.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return runtime("Single '}' encountered in format string");
            }
            let Some(end) = field_end(rest) else { return runtime("expected '}' before end of string") };
            let field = self.field(&rest[..end], levels)?;
            self.interpreter.budget.alloc(field.len())?;
            out.push_str(&field);
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// `name!conversion:specification`
    fn field(&mut self, field: &str, levels: usize) -> Result<String> {
        let mut brackets = 0_i32;
        let name_end = field.find(|c: char| {
            brackets += i32::from(c == '[') - i32::from(c == ']');
            brackets <= 0 && (c == '!' || c == ':')
        });
        let (name, rest) = field.split_at(name_end.unwrap_or(field.len()));
        let (conversion, specification) = match rest.strip_prefix('!') {
            Some(rest) => {
                let (conversion, specification) = rest.split_once(':').unwrap_or((rest, ""));
                (Some(conversion), specification)
            }
            None => (None, rest.strip_prefix(':').unwrap_or("")),
        };
        let mut value = self.value(name)?;
        let budget = &self.interpreter.budget;
        match conversion {
            None => {}
            Some("s") => value = to_str(budget, &value)?,
            Some("r") => value = Value::str(repr(budget, &value)?),
            Some("a") => value = Value::str(ascii(budget, &repr(budget, &value)?)?),
            Some(_) => return runtime("Unknown conversion specifier"),
        }
        let specification = self.expanded(specification, levels - 1)?;
        let budget = &self.interpreter.budget;
        if self.markup && specification.is_empty() {
            return Ok(escape(budget, &value)?.as_str().unwrap_or_default().to_owned());
        }
        spec::format(budget, &value, &specification)
    }

    fn value(&mut self, name: &str) -> Result<Value> {
        let first_end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(first_end);
        let index = if first.is_empty() {
            if self.numbered {
                return runtime("cannot switch from manual field specification to automatic field numbering");
            }
            self.next += 1;
            Some(self.next as i128 - 1)
        } else if first.chars().all(|c| c.is_ascii_digit()) {
            if self.next > 0 {
                return runtime("cannot switch from automatic field numbering to manual field specification");
            }
            self.numbered = true;
            parse_int(first, 10)
        } else {
            None
        };
        let mut value = match index {
            Some(index) => match usize::try_from(index).ok().and_then(|index| self.args.positional.get(index)) {
                Some(value) => value.clone(),
                None => {
                    return runtime(format!("Replacement index {index} out of range for positional args tuple"));
                }
            },
            None => match self.args.keyword.iter().find(|(other, _)| other == first) {
                Some((_, value)) => value.clone(),
                None => return runtime(format!("KeyError: '{first}'")),
            },
        };
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return runtime("Empty attribute in format string");
                }
                value = self.interpreter.attribute(&value, &after[..end])?;
                rest = &after[end..];
            } else {
                let Some((key, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
                    return runtime("Only '.' or '[' may follow ']' in format field specifier");
                };
                let index = parse_int(key, 10).filter(|_| key.chars().all(|c| c.is_ascii_digit()));
                let key = index.map_or_else(|| Value::str(key), Value::Int);
                value = self.interpreter.item(&value, &key)?;
                rest = after;
            }
        }
        Ok(value)
    }
}

/// The place of the brace that closes the field at the start of `text`.
fn field_end(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        open += i32::from(c == '{') - i32::from(c == '}');
        if open == 0 {
            return Some(at);
        }
    }
    None
}
