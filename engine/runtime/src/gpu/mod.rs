//! The device: adapters and their reports, buffers under one budget, pipelines, and the recorder of a pass.

mod adapter;
#[cfg(target_family = "wasm")]
mod browser;
mod device;
#[cfg(not(target_family = "wasm"))]
mod kept;
mod memory;
mod pipelines;
mod readback;
mod recorder;
mod texels;

pub use adapter::list_adapters;
pub use device::Gpu;
pub use memory::Buffer;
pub use pipelines::{Constants, DEFER_COMPILATION, Pipeline, PipelineName, Pipelines};
pub use readback::Staging;
pub use recorder::{Dispatch, Grid, RowClass, When, record};
pub use texels::{Texels, Words};
