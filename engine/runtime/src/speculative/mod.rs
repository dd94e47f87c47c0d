//! Speculation on the device.
//!
//! A round is one list of dispatches: the [`drafter`]s' levels, then the [`verifier`]'s pass, choice and walk, then the
//! moves of KV rows. [`round`] records it, [`speculator`] holds it together with what it costs here, [`learning`] finds
//! that out step by step ([`self_test`], [`measure`], through [`probes`]), and [`record`] is what the host reads of it
//! afterwards.

pub(crate) mod draft_model;
pub(crate) mod drafter;
pub(crate) mod learning;
pub(crate) mod lookup;
pub(crate) mod measure;
pub(crate) mod probes;
pub(crate) mod record;
pub(crate) mod round;
pub(crate) mod self_test;
pub(crate) mod speculator;
pub(crate) mod verifier;
