//! What a model would cost on a device, by arithmetic alone: each operator of a pass takes as long as its
//! multiply-adds or its bytes, whichever is longer (a roofline), and a dispatch costs what a dispatch costs.
//!
//! Follows the analytic model of GenZ (arXiv 2406.01698) and Williams et al. 2009 for the roofline itself. It touches no
//! device, reads no weights and measures nothing: shapes come from [`models`], devices from [`device`], and [`fit`] turns
//! measurements that someone else made into a device. Times are milliseconds, sizes bytes, unless a name says otherwise;
//! `None` is unknown, never zero.

pub mod ask;
pub mod device;
pub mod fit;
pub mod local_fit;
pub mod models;
mod operators;
mod prediction;
mod roofline;
pub mod rows;
mod simplex;
mod speculate;
mod tree;

pub use device::DeviceProfile;
pub use operators::{Class, KeyTiles, Numerics, Operator, Pass, operators, parameters, weights_bytes};
pub use prediction::{Memory, Prediction, numerics, predict, validate};
pub use roofline::{Bound, OperatorCost, PassCost};
pub use speculate::{Proposal, Speculation, SpeculationCase, break_even, speculate};
pub use tree::{Acceptance, GuessTree};
