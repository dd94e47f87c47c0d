//! `norm_residual.wesl`: X'[m, :] = X[m, :] + rms(T)[m, :] * gamma, and the partial sums of X'.

use super::block_stats::row_blocks;
use super::row_stats::{Norm, row_stats};

pub struct NormResidual<'a> {
    /// `[rows, width]`
    pub t: &'a [f32],
    pub x: &'a [f32],
    pub gamma: &'a [f32],
    pub eps: f32,
}

/// `[rows, width]`, and `[rows, ceil(width / 4)]` partial sums.
pub fn norm_residual(op: &NormResidual) -> (Vec<f64>, Vec<[f64; 2]>) {
    let width = op.gamma.len();
    let mut y = Vec::new();
    let mut stats = Vec::new();
    for (t, x) in op.t.chunks_exact(width).zip(op.x.chunks_exact(width)) {
        let t: Vec<f64> = t.iter().map(|&v| f64::from(v)).collect();
        let s = row_stats(Norm::Rms, &row_blocks(Norm::Rms, &t), width, op.eps);
        let normed = t.iter().zip(op.gamma).map(|(t, &g)| t * s.rstd * f64::from(g));
        let out: Vec<f64> = normed.zip(x).map(|(n, &x)| n + f64::from(x)).collect();
        stats.extend(row_blocks(Norm::Rms, &out));
        y.extend(out);
    }
    (y, stats)
}
