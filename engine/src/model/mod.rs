//! A model as data: configuration, files, weights, and the reference forward in burn.

pub mod config;
pub mod device_weights;
pub mod files;
#[cfg(feature = "reference")]
pub mod reference;
mod safetensors;
pub mod weights;
