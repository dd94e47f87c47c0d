//! What front ends and engine say to each other. Front ends (terminal, page) speak these types; they serialise, so they
//! cross a worker boundary or a socket as they are. Beside them stands what both sides must agree on: errors, the
//! parameters of methods and sampling, the formulas of the metrics and their definitions.
//!
//! *Architecture Invariant:* this crate knows no device, no tokenizer and no file format; a page that shows text and
//! figures needs nothing else.

pub mod adapter;
mod bench;
pub mod catalogue;
pub mod definitions;
pub mod error;
mod failure;
pub mod figures;
pub mod foreign;
pub mod formulas;
pub mod hash;
mod loading;
mod messages;
pub mod method;
mod prediction;
pub mod sampling;
pub mod scenario_catalog;
mod speculation;
mod timings;

pub use adapter::{AdapterLimits, AdapterReport, KernelSet, PassTiling};
pub use bench::{
    BenchRequest, BenchStep, Benched, Browser, Compared, Contents, LoadedReport, MAX_LINK_CHARS, MAX_REPORT_BYTES,
    PageFacts, Power, ReportFile, ReportInput,
};
pub use error::{Error, Result, out_of_range};
pub use failure::{Failure, FailureKind};
pub use loading::{Dtype, KvDtype, LoadOptions, Progress};
pub use messages::*;
pub use method::{Method, Schedule};
pub use prediction::{
    Case, Lora, MeasuredRequest, Precision, PredictReply, PredictRequest, PredictedDevice, PredictedModel, SelectOption,
};
pub use sampling::Sampling;
pub use speculation::{
    Costs, DepthCount, GovernorDecision, Lossless, NodeOrigin, Round, RoundMode, RoundNode, Speculation,
};
pub use timings::{Metrics, Phases};
