//! Tree speculation: a draft grows a tree of guesses, the target verifies all of it in one pass, and the text is the
//! target's own.
//!
//! The modules here are plain code over plain data. What the device does in kernels ([`grow`], [`prune`],
//! [`lookup`], [`accept`]) is stated here once more, as the rule that the kernels are tested against; what the host
//! decides ([`controller`], [`calibration`], [`stats`]) is stated here only.

pub mod accept;
pub mod calibration;
pub mod controller;
pub mod grow;
pub mod lookup;
pub(crate) mod measure;
mod method;
mod pair;
pub mod prune;
pub(crate) mod record;
pub(crate) mod speculator;
pub mod stats;
pub mod tree;

pub use method::{Method, Schedule};
pub use pair::check_pair;
