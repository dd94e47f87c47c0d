//! `lib/block_stats.wesl`: the partial sums that a kernel leaves for the norm of the rows it writes.

use super::row_stats::Norm;

/// Elements of a row behind one pair of partial sums.
pub const BLOCK: usize = 4;

/// (sum, M2) of a block: M2 about the block's own mean for layer norm; (0, sum of squares) for RMS norm.
pub fn block_stats(norm: Norm, block: &[f64]) -> [f64; 2] {
    match norm {
        Norm::Rms => [0.0, block.iter().map(|v| v * v).sum()],
        Norm::Layer => {
            let sum: f64 = block.iter().sum();
            let mean = sum / block.len() as f64;
            [sum, block.iter().map(|v| (v - mean) * (v - mean)).sum()]
        }
    }
}

/// The partial sums of one row, `[ceil(width / 4)]`.
pub fn row_blocks(norm: Norm, row: &[f64]) -> Vec<[f64; 2]> {
    row.chunks(BLOCK).map(|block| block_stats(norm, block)).collect()
}
