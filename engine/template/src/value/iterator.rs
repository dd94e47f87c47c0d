//! `range`, and what filters such as `map` give: items that can be taken once.

use std::cell::RefCell;

use super::seq::bounds;
use crate::error::Result;
use crate::value::Value;

/// Python's `range`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub start: i128,
    pub stop: i128,
    /// not 0
    pub step: i128,
}

impl Range {
    pub(crate) fn len(&self) -> i128 {
        let (low, high) = if self.step > 0 { (self.start, self.stop) } else { (self.stop, self.start) };
        let distance = high.saturating_sub(low);
        let step = self.step.saturating_abs();
        if distance <= 0 { 0 } else { (distance - 1) / step + 1 }
    }

    pub(crate) fn get(&self, index: i128) -> Option<i128> {
        (0..self.len()).contains(&index).then(|| self.start + index * self.step)
    }

    pub(crate) fn contains(&self, value: i128) -> bool {
        let place = value.checked_sub(self.start);
        place.is_some_and(|place| place % self.step == 0 && self.get(place / self.step).is_some())
    }
}

/// An iterator in Python's sense.
pub struct Iter {
    pub(crate) type_name: &'static str,
    items: RefCell<std::vec::IntoIter<Value>>,
    pub(crate) depth: u16,
}

impl Iter {
    pub(crate) fn new(type_name: &'static str, items: Vec<Value>) -> Result<Self> {
        let (depth, _) = bounds(items.iter())?;
        Ok(Self { type_name, items: RefCell::new(items.into_iter()), depth })
    }

    pub(crate) fn next(&self) -> Option<Value> {
        self.items.borrow_mut().next()
    }

    /// All that is left.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.items.borrow_mut()).collect()
    }
}
