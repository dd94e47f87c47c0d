//! Attributes, items and slices, as the sandbox of Jinja2 finds them.

use super::Interpreter;
use crate::args::{integer, length};
use crate::error::{Result, runtime};
use crate::methods;
use crate::repr::repr;
use crate::value::{Object, Value};

impl Interpreter<'_> {
    /// `owner.name`: an attribute, else an item.
    pub(crate) fn attribute(&mut self, owner: &Value, name: &str) -> Result<Value> {
        if let Some(value) = self.own_attribute(owner, name)? {
            return Ok(value);
        }
        if let Value::Dict(dict) = owner
            && let Some(value) = dict.get_str(name)
        {
            return Ok(value.clone());
        }
        Ok(Value::missing_attribute(owner, name))
    }

    /// `owner[key]`: an item, else an attribute.
    pub(crate) fn item(&mut self, owner: &Value, key: &Value) -> Result<Value> {
        let at = |len: usize| {
            let at = key.as_int()?;
            let at = if at < 0 { at.checked_add(len as i128)? } else { at };
            usize::try_from(at).ok().filter(|at| *at < len)
        };
        let found = match owner {
            Value::Undefined(undefined) => return undefined.fail(),
            Value::Dict(dict) => {
                self.budget.key(key)?;
                // A key that cannot be hashed is one that is not there.
                dict.get(key).ok().flatten().cloned()
            }
            Value::List(items) | Value::Tuple(items) => at(items.len()).map(|at| items[at].clone()),
            Value::Range(range) => at(range.len() as usize).and_then(|at| range.get(at as i128)).map(Value::Int),
            Value::Str(text) if key.as_int().is_some() => {
                self.budget.scan(text.len())?;
                let count = if text.is_ascii() { text.len() } else { text.chars().count() };
                let c = at(count).and_then(|at| text.chars().nth(at));
                c.map(|c| Value::str(c.encode_utf8(&mut [0; 4])).with_markup(text.markup))
            }
            Value::Object(object) => match &**object {
                Object::Group(pair) if key.as_str().is_none() => return self.item(&pair.clone(), key),
                _ => None,
            },
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        match key {
            Value::Str(name) => match self.own_attribute(owner, name)? {
                Some(value) => Ok(value),
                None => Ok(Value::missing_attribute(owner, name)),
            },
            _ => {
                let key = if key.weight() < 100 { repr(&self.budget, key)? } else { key.type_name().into() };
                Ok(Value::missing_element(owner, key))
            }
        }
    }

    /// `owner.name` without its items.
    pub(crate) fn own_attribute_or_undefined(&mut self, owner: &Value, name: &str) -> Result<Value> {
        let found = self.own_attribute(owner, name)?;
        Ok(found.unwrap_or_else(|| Value::missing_attribute(owner, name)))
    }

    /// What Python's `getattr` finds and the sandbox allows; what it forbids is undefined.
    fn own_attribute(&mut self, owner: &Value, name: &str) -> Result<Option<Value>> {
        let private = name.starts_with('_');
        if private && name.starts_with("__") && name.ends_with("__") && !owner.is_undefined() {
            return Ok(Some(Value::unsafe_attribute(owner, name)));
        }
        let found = match owner {
            Value::Undefined(undefined) => return undefined.fail(),
            Value::Object(object) => match &**object {
                Object::Namespace(attributes) => {
                    let attributes = attributes.borrow();
                    self.budget.step(attributes.len() as u64 / 8)?;
                    attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
                }
                Object::Macro(function) => match name {
                    "name" => Some(function.name.as_ref().map_or(Value::None, Value::str)),
                    "arguments" => Some(self.budget.tuple(function.arguments.iter().map(Value::str).collect())?),
                    "catch_kwargs" => Some(function.catches.kwargs.into()),
                    "catch_varargs" => Some(function.catches.varargs.into()),
                    "caller" => Some(function.catches.caller.into()),
                    _ => None,
                },
                Object::Loop(state) => self.loop_attribute(owner, state, name)?,
                Object::Cycler { items, at } => match name {
                    "current" => Some(items[at.get()].clone()),
                    "pos" => Some(Value::Int(at.get() as i128)),
                    "items" => Some(self.budget.tuple(items.to_vec())?),
                    "next" | "reset" => Some(Value::Method((owner.clone(), name.to_owned()).into())),
                    _ => None,
                },
                Object::Joiner { separator, used } => match name {
                    "sep" => separator.first().cloned(),
                    "used" => Some(used.get().into()),
                    _ => None,
                },
                Object::Group(pair) => match name {
                    "grouper" => Some(self.item(pair, &Value::Int(0))?),
                    "list" => Some(self.item(pair, &Value::Int(1))?),
                    _ => self.own_attribute(&pair.clone(), name)?,
                },
            },
            _ => match methods::find(owner, name) {
                methods::Found::Method => Some(Value::Method((owner.clone(), name.to_owned()).into())),
                methods::Found::Value(value) => Some(value),
                methods::Found::Mutates => return Ok(Some(Value::unsafe_attribute(owner, name))),
                methods::Found::Nothing => None,
            },
        };
        Ok(found.map(|value| if private { Value::unsafe_attribute(owner, name) } else { value }))
    }

    /// `owner[start:stop:step]`.
    pub(super) fn slice(&mut self, owner: &Value, bounds: &[Option<Value>; 3]) -> Result<Value> {
        let bound = |at: usize| match &bounds[at] {
            None | Some(Value::None) => Ok(None),
            Some(value) => integer(value, "slice indices must be integers or None").map(Some),
        };
        let (start, stop, step) = (bound(0)?, bound(1)?, bound(2)?.unwrap_or(1));
        if step == 0 {
            return runtime("slice step cannot be zero");
        }
        let places = |len: usize| places(len as i128, start, stop, step);
        match owner {
            Value::Undefined(undefined) => undefined.fail(),
            Value::Str(text) if step == 1 => {
                self.budget.scan(text.len())?;
                let (first, count) = places(if text.is_ascii() { text.len() } else { text.chars().count() });
                let byte = |place: usize| {
                    if text.is_ascii() {
                        return place.min(text.len());
                    }
                    text.char_indices().nth(place).map_or(text.len(), |(at, _)| at)
                };
                let (from, to) = (byte(first as usize), byte(first as usize + count));
                self.budget.marked(&text[from..to], text.markup)
            }
            Value::Str(text) => {
                self.budget.alloc_n(text.len(), 8)?;
                let chars: Vec<char> = text.chars().collect();
                let (first, count) = places(chars.len());
                let picked: String = (0..count).map(|at| chars[(first + at as i128 * step) as usize]).collect();
                self.budget.marked(picked, text.markup)
            }
            Value::List(items) | Value::Tuple(items) => {
                let (first, count) = places(items.len());
                self.budget.step(count as u64)?;
                self.budget.alloc_n(count, size_of::<Value>())?;
                let picked = (0..count).map(|at| items[(first + at as i128 * step) as usize].clone()).collect();
                if matches!(owner, Value::List(_)) { self.budget.list(picked) } else { self.budget.tuple(picked) }
            }
            Value::Range(range) => {
                let (first, count) = places(range.len() as usize);
                let start = range.start + first * range.step;
                let step = range.step.saturating_mul(step);
                let stop = start.saturating_add(step.saturating_mul(count as i128));
                Ok(Value::Range(crate::value::Range { start, stop, step }.into()))
            }
            Value::Object(object) => match &**object {
                Object::Group(pair) => self.slice(&pair.clone(), bounds),
                _ => runtime(format!("'{}' object is not subscriptable", owner.type_name())),
            },
            other => runtime(format!("'{}' object is not subscriptable", other.type_name())),
        }
    }
}

/// First place and number of places of a slice.
fn places(len: i128, start: Option<i128>, stop: Option<i128>, step: i128) -> (i128, usize) {
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clamp = |place: i128| if place < 0 { place.saturating_add(len).max(low) } else { place.min(high) };
    let start = start.map_or(if step > 0 { low } else { high }, clamp);
    let stop = stop.map_or(if step > 0 { high } else { low }, clamp);
    let distance = if step > 0 { stop - start } else { start - stop };
    let count = if distance <= 0 { 0 } else { (distance - 1) / step.saturating_abs() + 1 };
    (start.max(0), length(count))
}
