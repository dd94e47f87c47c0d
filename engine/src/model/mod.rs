//! A model as data: configuration, files, what a repository holds, weights, and the reference forward in burn.

pub mod config;
pub mod device_weights;
pub mod files;
pub mod fingerprints;
mod halves;
#[cfg(feature = "reference")]
pub mod reference;
pub mod repository;
mod safetensors;
pub mod weights;
