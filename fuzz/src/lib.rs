//! Fuzzing with proptest: damaged copies of good inputs, and what no input may do.
//!
//! `cargo xtask test` gives each target a few seconds, `cargo xtask fuzz` as long as it is told. An input that fails is
//! made smaller and kept in the target's corpus, which every run tries first.

mod damage;
mod guard;
mod run;

pub use guard::Bounded;
pub use run::{Target, fuzz};
