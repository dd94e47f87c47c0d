//! Typed access to one JSON object of a configuration, with errors that name the file and the key.

use serde_json::{Map, Value};

use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

/// No dimension of a model that we could hold comes near these; what exceeds them is a mistake, and refusing it
/// keeps every product of two of them within an integer of 64 bits.
pub(super) const MAX_WIDTH: usize = 1 << 24;
pub(super) const MAX_HEADS: usize = 1 << 12;
pub(super) const MAX_LAYERS: usize = 1 << 12;
pub(super) const MAX_POSITIONS: usize = 1 << 30;

/// An object and where it was found. `null` counts as absent, except for [`Fields::has`].
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub file: &'a str,
    pub map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn bad(&self, key: &str, reason: impl Into<String>) -> Error {
        Error::BadConfig { file: self.file.into(), key: key.into(), reason: reason.into() }
    }

    fn expected(&self, key: &str, value: &Value, expected: &str) -> Error {
        // Long values would bury the message.
        self.bad(key, format!("is {}; expected {expected}", shown(&value.to_string())))
    }

    /// Whether the key is there at all, be it as `null`.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A count from 1 to `max`.
    pub fn count(&self, key: &str, max: usize) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let whole =
            value.as_u64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && *v > 0.0).map(|v| v as u64));
        match whole.and_then(|v| usize::try_from(v).ok()) {
            Some(count) if (1..=max).contains(&count) => Ok(Some(count)),
            _ => Err(self.expected(key, value, &format!("a whole number from 1 to {max}"))),
        }
    }

    pub fn positive(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(self.expected(key, value, "a positive number")),
        }
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.expected(key, value, "true or false"))
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.expected(key, value, "a string"))
    }

    pub fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| self.expected(key, value, "a list of strings"))
    }

    pub fn object(&self, key: &str) -> Result<Option<Fields<'a>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_object() {
            Some(map) => Ok(Some(Fields { file: self.file, map })),
            None => Err(self.expected(key, value, "an object")),
        }
    }

    /// A token id or a list of them.
    pub fn tokens(&self, key: &str) -> Result<Option<Vec<u32>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let token = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let tokens = match value {
            Value::Array(list) => list.iter().map(token).collect(),
            one => token(one).map(|id| vec![id]),
        };
        tokens.map(Some).ok_or_else(|| self.expected(key, value, "a token id or a list of token ids"))
    }
}
