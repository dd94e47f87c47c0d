//! Benchmarks that a front end can run on any device: how fast each kernel is there, against what the device can
//! copy and compute, and what a pass of many rows costs. They measure and judge nothing; raw samples stay in the
//! reports.

mod ceilings;
pub mod kernels;
mod non_matmul;
mod operands;
mod products;
mod report;
mod stopwatch;

pub use ceilings::{copy_bandwidth, peak_arithmetic};
pub use kernels::{KernelOptions, ROUND_ROWS, Subject, run};
pub use report::{Ceiling, KernelReport, KernelRow, VerifyPoint};
