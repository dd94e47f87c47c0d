//! The engine of Understory: models, weights, KV cache and decoding on a WebGPU device.
//!
//! It knows nothing of terminals, HTTP servers or the DOM; front ends speak [`protocol`].

pub mod bench;
mod cache;
pub mod chat;
pub mod engine;
pub mod environment;
pub mod error;
mod evaluate;
pub mod figures;
mod forward;
mod generate;
pub mod gpu;
pub mod kernels;
pub mod lab;
pub mod model;
pub mod predict;
pub mod protocol;
pub mod sampling;
pub mod session;
pub mod speculation;
mod text;
pub mod tokenizer;

pub use engine::{Begun, Dtype, Engine, LoadOptions, Progress};
pub use error::{Error, Result};
