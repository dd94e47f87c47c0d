//! Tree speculation: a draft grows a tree of guesses, the target verifies all of it in one pass, and the text is the
//! target's own.

mod method;

pub use method::{Method, Schedule};
