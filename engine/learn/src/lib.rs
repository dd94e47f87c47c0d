//! The models in burn: the oracle that the kernels are tested against.

pub mod reference;
