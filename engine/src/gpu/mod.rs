//! The device: adapters and their reports, buffers under one budget, pipelines, and the recorder of a pass.

#[cfg(target_family = "wasm")]
mod browser;
mod device;
mod pipelines;
mod readback;
mod recorder;

pub use device::{AdapterLimits, AdapterReport, Buffer, Gpu, Profile, list_adapters};
pub use pipelines::{PUT_OFF, Pipeline, Pipelines};
pub use readback::Staging;
pub use recorder::{Dispatch, Grid, RowClass, When, record};
