//! Models on a WebGPU device: kernels, the forward pass, the KV cache, plain decoding and speculation.
//!
//! It knows nothing of terminals, HTTP servers or the DOM; front ends speak [`understory_protocol`].

pub mod bench;
mod cache;
pub mod device_weights;
pub mod engine;
mod evaluate;
mod forward;
mod generate;
pub mod gpu;
pub mod kernels;
mod output;
mod speculative;

pub use engine::{Engine, LoadContext};
