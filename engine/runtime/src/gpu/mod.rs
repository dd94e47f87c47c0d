//! The device: adapters and their reports, buffers under one budget, pipelines, and the recorder of a pass.

#[cfg(target_family = "wasm")]
mod browser;
mod device;
mod pipelines;
mod readback;
mod recorder;

pub use device::{Buffer, Gpu, list_adapters};
pub use pipelines::{DEFER_COMPILATION, Pipeline, Pipelines};
pub use readback::Staging;
pub use recorder::{Dispatch, Grid, RowClass, When, record};
