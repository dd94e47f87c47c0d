//! Everything that a stranger hands in, one target each.

mod corpus;
mod models;
mod reports;
mod templates;

#[path = "../../../engine/model/tests/gguf_models/mod.rs"]
mod gguf_models;

/// Where the input that is tried stands, and failing ones are left.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

#[global_allocator]
static ALLOCATOR: understory_fuzz::Bounded = understory_fuzz::Bounded::new();
