//! Arguments of a call, matched with the names of what is called.

use crate::error::{Result, runtime};
use crate::value::Value;

/// Evaluated arguments.
#[derive(Default)]
pub(crate) struct Args {
    pub positional: Vec<Value>,
    pub keyword: Vec<(String, Value)>,
}

impl Args {
    /// The argument of each name, in their order. The first `required` must be there.
    ///
    /// # Errors
    /// As Python's `TypeError` of a call that does not fit.
    pub fn bind<const N: usize>(self, function: &str, names: [&str; N], required: usize) -> Result<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        let given = self.positional.len();
        if given > N {
            return runtime(format!("{function}() takes at most {N} arguments ({given} given)"));
        }
        for (place, value) in self.positional.into_iter().enumerate() {
            bound[place] = Some(value);
        }
        for (name, value) in self.keyword {
            let Some(place) = names.iter().position(|other| *other == name) else {
                return runtime(format!("{function}() got an unexpected keyword argument '{name}'"));
            };
            if bound[place].replace(value).is_some() {
                return runtime(format!("{function}() got multiple values for argument '{name}'"));
            }
        }
        if let Some(place) = bound[..required].iter().position(Option::is_none) {
            return runtime(format!("{function}() missing required argument: '{}'", names[place]));
        }
        Ok(bound)
    }
}

/// A whole number, as Python takes it for an index or a length.
pub(crate) fn integer(value: &Value, what: &str) -> Result<i128> {
    match value {
        Value::Undefined(undefined) => undefined.fail(),
        _ => value.as_int().map_or_else(
            || runtime(format!("{what}: '{}' object cannot be interpreted as an integer", value.type_name())),
            Ok,
        ),
    }
}

/// A whole number that may be absent.
pub(crate) fn integer_or(value: Option<&Value>, default: i128, what: &str) -> Result<i128> {
    value.map_or(Ok(default), |value| integer(value, what))
}

/// A length, at least 0.
pub(crate) fn length(value: i128) -> usize {
    usize::try_from(value.max(0)).unwrap_or(usize::MAX)
}

pub(crate) fn flag(value: Option<&Value>) -> bool {
    value.is_some_and(Value::truthy)
}
