//! GGUF models for tests: written by hand, converted from a fixture, and published ones. Other crates' tests include this
//! folder too.
#![allow(dead_code, reason = "each test uses a part")]

pub mod convert;
pub mod real;
pub mod writer;
