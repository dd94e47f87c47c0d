//! What the page says: plain functions over the protocol's types.

pub mod catalogue;
pub mod definitions;
pub mod format;
pub mod notice;
pub mod order;
pub mod webgpu;
