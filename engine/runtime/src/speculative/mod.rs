//! Speculation on the device: the draft model's passes, the rounds, what they cost and what they leave.

pub(crate) mod measure;
pub(crate) mod record;
pub(crate) mod speculator;
