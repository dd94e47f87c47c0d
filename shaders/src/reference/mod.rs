//! What each kernel computes, in plain Rust: one file a kernel with the kernel's name and formula, and the
//! pieces that kernels share.
//!
//! Sums are in f64 and in ascending order. Slices are unpadded and row-major (`[rows, width]`); how the kernels
//! pad and pack them is not repeated here. Nothing here touches a device.

mod activation;
mod attention;
mod block_stats;
mod candidates;
mod embed;
mod matmul;
mod norm_residual;
mod positions;
mod rng;
mod rope;
mod row_stats;
mod sample;

pub use activation::{Activation, activate};
pub use attention::{Attention, attention};
pub use block_stats::{BLOCK, block_stats, row_blocks};
pub use candidates::{Candidates, Ranked, candidates};
pub use embed::{Embed, embed};
pub use matmul::{Epilogue, Matmul, NormOnLoad, matmul};
pub use norm_residual::{NormResidual, norm_residual};
pub use positions::{Positions, Tree};
pub use rng::{gumbel, noise, philox};
pub use rope::{Rope, Rotated, rope};
pub use row_stats::{Norm, RowStats, row_stats};
pub use sample::{Choice, NO_TOKEN, RING, Sample, State, sample};
