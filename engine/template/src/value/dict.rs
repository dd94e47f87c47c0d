//! Python's `dict`: any hashable key, in the order of insertion.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::seq::bounds;
use crate::compare::equal;
use crate::error::{Result, runtime};
use crate::value::Value;

/// Up to this many entries, a search goes through all of them.
const SMALL: usize = 8;

/// A map that no longer changes.
#[derive(Default)]
pub struct Dict {
    entries: Vec<(Value, Value)>,
    /// places by hash, where there are many
    places: HashMap<u64, Vec<u32>>,
    pub(crate) depth: u16,
    pub(crate) weight: u64,
}

impl Dict {
    /// Of `pairs` in their order; the last value of a key counts, in the place of its first.
    ///
    /// # Errors
    /// For a key that Python cannot hash, and for a value that is nested too deeply.
    pub(crate) fn new(pairs: Vec<(Value, Value)>) -> Result<Self> {
        let mut dict = Self::default();
        for (key, value) in pairs {
            let hash = hash(&key)?;
            match dict.place(hash, |other| equal(other, &key)) {
                Some(place) => dict.entries[place].1 = value,
                None => dict.push(hash, key, value),
            }
        }
        (dict.depth, dict.weight) = bounds(dict.entries.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(dict)
    }

    /// Takes `key` as a member of a set; whether it is new.
    pub(crate) fn insert(&mut self, key: Value) -> Result<bool> {
        let hash = hash(&key)?;
        let new = self.place(hash, |other| equal(other, &key)).is_none();
        if new {
            self.push(hash, key, Value::None);
        }
        Ok(new)
    }

    fn push(&mut self, hash_of_key: u64, key: Value, value: Value) {
        let place = self.entries.len();
        self.entries.push((key, value));
        if place == SMALL {
            for (place, (key, _)) in self.entries.iter().enumerate() {
                // Each was hashed when it came in.
                self.places.entry(hash(key).unwrap_or_default()).or_default().push(place as u32);
            }
        } else if place > SMALL {
            self.places.entry(hash_of_key).or_default().push(place as u32);
        }
    }

    fn place(&self, hash: u64, is_key: impl Fn(&Value) -> bool) -> Option<usize> {
        if self.entries.len() <= SMALL {
            return self.entries.iter().position(|(key, _)| is_key(key));
        }
        let places = self.places.get(&hash)?;
        places.iter().map(|place| *place as usize).find(|place| is_key(&self.entries[*place].0))
    }

    /// # Errors
    /// For a key that Python cannot hash.
    pub(crate) fn get(&self, key: &Value) -> Result<Option<&Value>> {
        let place = self.place(hash(key)?, |other| equal(other, key));
        Ok(place.map(|place| &self.entries[place].1))
    }

    pub fn get_str(&self, key: &str) -> Option<&Value> {
        let place = self.place(hash_str(key), |other| other.as_str() == Some(key));
        place.map(|place| &self.entries[place].1)
    }

    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn hash_str(text: &str) -> u64 {
    let mut state = DefaultHasher::new();
    text.hash(&mut state);
    state.finish()
}

/// Equal values have equal hashes: `1`, `1.0` and `True` do.
fn hash(value: &Value) -> Result<u64> {
    let mut state = DefaultHasher::new();
    match value {
        Value::Str(text) => return Ok(hash_str(text)),
        Value::Bool(value) => i128::from(*value).hash(&mut state),
        Value::Int(value) => value.hash(&mut state),
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e38 => (*value as i128).hash(&mut state),
        Value::Float(value) => value.to_bits().hash(&mut state),
        Value::Tuple(items) => {
            for item in items.iter() {
                hash(item)?.hash(&mut state);
            }
        }
        Value::List(_) | Value::Dict(_) | Value::View(..) => {
            return runtime(format!("unhashable type: '{}'", value.type_name()));
        }
        // Few keys are of these kinds; equality tells them apart.
        _ => value.type_name().hash(&mut state),
    }
    Ok(state.finish())
}
