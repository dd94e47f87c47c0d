//! Jinja2's default `Undefined`: it prints as nothing, and most other uses of it are an error.

use crate::error::{Result, runtime, shortened};
use crate::value::Value;

/// What was looked for in vain.
pub enum Undefined {
    Name(String),
    /// `owner` is the name of a type
    Attribute {
        owner: &'static str,
        name: String,
    },
    Element {
        owner: &'static str,
        key: String,
    },
    /// the sandbox keeps it from templates
    Unsafe {
        owner: &'static str,
        name: String,
    },
    Hint(&'static str),
}

impl Undefined {
    fn message(&self) -> String {
        match self {
            Self::Name(name) => format!("'{name}' is undefined"),
            Self::Attribute { owner, name } => format!("'{owner} object' has no attribute '{name}'"),
            Self::Element { owner, key } => format!("{owner} object has no element {key}"),
            Self::Unsafe { owner, name } => format!("access to attribute '{name}' of '{owner}' object is unsafe."),
            Self::Hint(hint) => (*hint).into(),
        }
    }

    /// The error of a use that is not allowed.
    pub(crate) fn fail<T>(&self) -> Result<T> {
        runtime(self.message())
    }
}

impl Value {
    fn undefined(undefined: Undefined) -> Self {
        Self::Undefined(undefined.into())
    }

    pub(crate) fn missing_name(name: &str) -> Self {
        Self::undefined(Undefined::Name(short(name)))
    }

    pub(crate) fn missing_attribute(owner: &Self, name: &str) -> Self {
        Self::undefined(Undefined::Attribute { owner: owner.type_name(), name: short(name) })
    }

    pub(crate) fn missing_element(owner: &Self, key: String) -> Self {
        Self::undefined(Undefined::Element { owner: owner.type_name(), key: shortened(key, 100) })
    }

    pub(crate) fn unsafe_attribute(owner: &Self, name: &str) -> Self {
        Self::undefined(Undefined::Unsafe { owner: owner.type_name(), name: short(name) })
    }

    pub(crate) fn hint(hint: &'static str) -> Self {
        Self::undefined(Undefined::Hint(hint))
    }
}

fn short(name: &str) -> String {
    name.chars().take(100).collect()
}
