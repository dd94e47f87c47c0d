//! The items of a value.

use super::Interpreter;
use crate::error::{Result, runtime};
use crate::value::{Dict, Object, Source, Value, ViewKind};

impl Interpreter<'_> {
    /// All items of `value`; those of an iterator are gone then.
    ///
    /// # Errors
    /// For what Python cannot iterate over.
    pub(crate) fn iterate(&mut self, value: &Value) -> Result<Vec<Value>> {
        let count = match value {
            Value::Str(text) => text.len(),
            Value::List(items) | Value::Tuple(items) => items.len(),
            Value::Dict(dict) | Value::View(dict, _) => dict.len(),
            Value::Range(range) => range.len() as usize,
            _ => 0,
        };
        self.budget.alloc_n(count + 1, size_of::<Value>())?;
        self.budget.step(count as u64)?;
        match value {
            Value::List(items) | Value::Tuple(items) => Ok(items.to_vec()),
            Value::Str(text) => Ok(text.chars().map(|c| Value::str(c.encode_utf8(&mut [0; 4]))).collect()),
            Value::Dict(dict) => self.view_items(dict, ViewKind::Keys),
            Value::View(dict, kind) => self.view_items(dict, *kind),
            Value::Range(range) => Ok((0..range.len()).filter_map(|at| range.get(at)).map(Value::Int).collect()),
            Value::Iter(iter) => {
                let items = iter.take();
                self.budget.step(items.len() as u64)?;
                Ok(items)
            }
            Value::Undefined(_) => Ok(Vec::new()),
            Value::Object(object) => match &**object {
                Object::Group(pair) => self.iterate(&pair.clone()),
                Object::Loop(state) => {
                    let mut items = Vec::new();
                    while let Some(item) = self.advance(state)? {
                        items.push(self.budget.tuple(vec![item, value.clone()])?);
                    }
                    Ok(items)
                }
                _ => not_iterable(value),
            },
            _ => not_iterable(value),
        }
    }

    fn view_items(&self, dict: &Dict, kind: ViewKind) -> Result<Vec<Value>> {
        let item = |(key, value): &(Value, Value)| match kind {
            ViewKind::Keys => Ok(key.clone()),
            ViewKind::Values => Ok(value.clone()),
            ViewKind::Items => self.budget.tuple(vec![key.clone(), value.clone()]),
        };
        dict.entries().iter().map(item).collect()
    }

    /// The items of `value` one by one, with their number where it is known.
    pub(super) fn source(&mut self, value: &Value) -> Result<(Source, Option<usize>)> {
        Ok(match value {
            Value::List(items) | Value::Tuple(items) => (Source::Seq(value.clone(), 0), Some(items.len())),
            Value::Range(range) => (Source::Range(**range, 0), Some(range.len() as usize)),
            Value::Iter(iter) => (Source::Iter(iter.clone()), None),
            other => {
                let items = self.iterate(other)?;
                let count = items.len();
                (Source::Items(items.into_iter()), Some(count))
            }
        })
    }
}

impl Source {
    pub(super) fn next(&mut self) -> Option<Value> {
        match self {
            Self::Seq(Value::List(items) | Value::Tuple(items), at) => {
                *at += 1;
                items.get(*at - 1).cloned()
            }
            Self::Seq(..) => None,
            Self::Range(range, at) => {
                *at += 1;
                range.get(*at - 1).map(Value::Int)
            }
            Self::Items(items) => items.next(),
            Self::Iter(iter) => iter.next(),
        }
    }
}

fn not_iterable<T>(value: &Value) -> Result<T> {
    runtime(format!("'{}' object is not iterable", value.type_name()))
}
