//! A model on the host: configuration as data, files and what a repository holds, weights, tokenizer and chat template.
//!
//! *Architecture Invariant:* no device. What is here reads, checks and converts; the runtime uploads.

mod caught;
pub mod chat;
pub mod config;
pub mod files;
pub mod fingerprints;
pub mod gguf;
pub mod halves;
pub mod inventory;
mod measured_shape;
mod pair;
pub mod quantised;
pub mod repository;
mod safetensors;
mod special_tokens;
mod stored;
pub mod text;
pub mod tokenizer;
pub mod weights;

pub use measured_shape::MeasuredShape;
pub use pair::check_pair;
