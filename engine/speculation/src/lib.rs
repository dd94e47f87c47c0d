//! Tree speculation: a draft grows a tree of guesses, the target verifies all of it in one pass, and the text is the
//! target's own.
//!
//! The modules here are plain code over plain data. What the device does in kernels ([`grow`], [`prune`],
//! [`lookup`], [`accept`]) is stated here once more, as the rule that the kernels are tested against; what the host
//! decides ([`controller`], [`acceptance_model`], [`stats`]) is stated here only.

pub mod accept;
pub mod acceptance_model;
pub mod controller;
pub mod grow;
pub mod lookup;
pub mod prior;
pub mod prune;
pub mod stats;
pub mod tree;
