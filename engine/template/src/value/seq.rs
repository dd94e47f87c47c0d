//! The items of a list or tuple, with their bounds.

use std::ops::Deref;

use crate::error::{Result, limit};
use crate::limits::VALUE_DEPTH;
use crate::value::Value;

/// Items that no longer change.
pub struct Seq {
    items: Vec<Value>,
    pub(crate) depth: u16,
    pub(crate) weight: u64,
}

impl Seq {
    pub(crate) fn new(items: Vec<Value>) -> Result<Self> {
        let (depth, weight) = bounds(items.iter())?;
        Ok(Self { items, depth, weight })
    }
}

impl Deref for Seq {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// Depth and weight of a container of `items`.
pub(super) fn bounds<'a>(items: impl Iterator<Item = &'a Value>) -> Result<(u16, u64)> {
    let (mut depth, mut weight) = (0, 1_u64);
    for item in items {
        depth = depth.max(item.depth());
        weight = weight.saturating_add(item.weight());
    }
    if depth >= VALUE_DEPTH {
        return limit(format!("lists and maps are nested more than {VALUE_DEPTH} deep"));
    }
    Ok((depth + 1, weight))
}
