//! `lib/row_stats.wesl`: mean and 1 / deviation of a row from the partial sums of its blocks.

use super::block_stats::BLOCK;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// `x / sqrt(mean(x^2) + eps)`
    Rms,
    /// `(x - mean) / sqrt(variance + eps)`
    Layer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowStats {
    /// 0 for RMS norm
    pub mean: f64,
    /// 1 / deviation
    pub rstd: f64,
}

/// Joins the partial sums of a row of `width` elements: M2 = sum_b M2_b + n_b (mean_b - mean)^2.
pub fn row_stats(norm: Norm, blocks: &[[f64; 2]], width: usize, eps: f32) -> RowStats {
    let mean = match norm {
        Norm::Rms => 0.0,
        Norm::Layer => blocks.iter().map(|b| b[0]).sum::<f64>() / width as f64,
    };
    let mut m2 = 0.0;
    for (b, [sum, block_m2]) in blocks.iter().enumerate() {
        m2 += block_m2;
        if norm == Norm::Layer {
            let n = BLOCK.min(width - BLOCK * b) as f64;
            m2 += n * (sum / n - mean) * (sum / n - mean);
        }
    }
    RowStats { mean, rstd: 1.0 / (m2 / width as f64 + f64::from(eps)).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::super::block_stats::row_blocks;
    use super::*;

    /// Seen to fail here: M2 of the blocks added up without their means' distance from the row's.
    #[test]
    fn joined_blocks_are_the_statistics_of_the_whole_row() {
        for width in [1, 3, 4, 5, 17, 64] {
            let row: Vec<f64> = (0..width).map(|i| 5.0 + (f64::from(i) * 1.7).sin()).collect();
            let mean = row.iter().sum::<f64>() / f64::from(width);
            let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / f64::from(width);
            let square = row.iter().map(|v| v * v).sum::<f64>() / f64::from(width);
            let eps = 1e-5f32;
            let layer = row_stats(Norm::Layer, &row_blocks(Norm::Layer, &row), width as usize, eps);
            assert!((layer.mean - mean).abs() < 1e-12);
            assert!((layer.rstd * (variance + f64::from(eps)).sqrt() - 1.0).abs() < 1e-12);
            let rms = row_stats(Norm::Rms, &row_blocks(Norm::Rms, &row), width as usize, eps);
            assert_eq!(rms.mean, 0.0);
            assert!((rms.rstd * (square + f64::from(eps)).sqrt() - 1.0).abs() < 1e-12);
        }
    }
}
