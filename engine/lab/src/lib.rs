//! The latency lab: what is measured, in which order, what the raw data are, and what may be concluded from them.
//!
//! Plain code over plain data, shared by the command line and the page: no device, no clock, no files. Front ends run
//! requests and hand in what they saw.

pub mod advice;
pub mod compare;
pub mod environment;
pub mod experiment;
pub mod html;
pub mod link;
pub mod metrics;
mod percentiles;
pub mod position;
pub mod predict;
pub mod rendering;
pub mod report;
pub mod report_loader;
pub mod scenario;
pub mod schedule;
pub mod schema;
pub mod statistics;
mod summary;
#[cfg(test)]
mod testing;
pub mod view;
