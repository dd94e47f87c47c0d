//! The values of a template: Python's, as far as a chat template can tell.
//!
//! Lists, tuples and maps never change once they are made: the sandbox is immutable. Each knows how deep it is and how
//! many values are in it, so that printing, comparing, hashing and dropping it have known bounds. What can change, a
//! namespace, is an [`Object`] and is taken apart by the interpreter at the end.

mod convert;
mod dict;
mod iterator;
mod object;
mod seq;
mod text;
mod undefined;

use std::rc::Rc;

pub use dict::Dict;
pub use iterator::{Iter, Range};
pub(crate) use object::source_end;
pub use object::{Function, LoopState, Macro, Object, Scope, Source, ViewKind};
pub use seq::Seq;
pub use text::Text;
pub use undefined::Undefined;

/// One value.
#[derive(Clone)]
pub enum Value {
    Undefined(Rc<Undefined>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text),
    List(Rc<Seq>),
    Tuple(Rc<Seq>),
    Dict(Rc<Dict>),
    /// `keys()`, `values()` and `items()` of a map
    View(Rc<Dict>, ViewKind),
    Range(Rc<Range>),
    Iter(Rc<Iter>),
    Object(Rc<Object>),
    Function(Function),
    /// a method and the value that it belongs to
    Method(Rc<(Value, String)>),
}

impl Value {
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Text::from(text.as_ref()))
    }

    /// What Python's `type(x).__name__` says.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(text) if text.markup => "Markup",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::View(_, ViewKind::Keys) => "dict_keys",
            Self::View(_, ViewKind::Values) => "dict_values",
            Self::View(_, ViewKind::Items) => "dict_items",
            Self::Range(_) => "range",
            Self::Iter(iter) => iter.type_name,
            Self::Object(object) => object.type_name(),
            Self::Function(_) => "function",
            Self::Method(_) => "builtin_function_or_method",
        }
    }

    /// Python's `bool(x)`.
    pub(crate) fn truthy(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.is_empty(),
            Self::Dict(dict) | Self::View(dict, _) => !dict.is_empty(),
            Self::Range(range) => range.len() != 0,
            Self::Iter(_) | Self::Object(_) | Self::Function(_) | Self::Method(_) => true,
        }
    }

    /// Levels of lists and maps.
    pub(crate) fn depth(&self) -> u16 {
        match self {
            Self::List(items) | Self::Tuple(items) => items.depth,
            Self::Dict(dict) | Self::View(dict, _) => dict.depth,
            Self::Iter(iter) => iter.depth,
            Self::Object(object) => object.depth(),
            Self::Method(method) => method.0.depth().saturating_add(1),
            _ => 0,
        }
    }

    /// A bound of the work to visit all of it: its values, and 32 bytes of text each as another.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Str(text) => 1 + text.len() as u64 / 32,
            Self::List(items) | Self::Tuple(items) => items.weight,
            Self::Dict(dict) | Self::View(dict, _) => dict.weight,
            Self::Object(object) => object.weight(),
            _ => 1,
        }
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, `True` and `False` included as in Python.
    pub(crate) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some((*value).into()),
            _ => None,
        }
    }

    /// Any number as a float.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => self.as_int().map(|value| value as f64),
        }
    }

    /// The same text, escaped or not.
    pub(crate) fn with_markup(self, markup: bool) -> Self {
        match self {
            Self::Str(text) => Self::Str(Text { markup, ..text }),
            other => other,
        }
    }

    pub(crate) fn is_markup(&self) -> bool {
        matches!(self, Self::Str(text) if text.markup)
    }
}
