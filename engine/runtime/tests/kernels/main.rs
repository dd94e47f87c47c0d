//! Every kernel against its CPU reference of the same name, over random shapes, in both kernel sets and dtypes.
//!
//! The references are `understory_shaders::reference`. Outputs lie in buffers filled with a mark beforehand: what a
//! kernel has no business to write must still hold it.

mod accept;
mod append;
mod attention;
mod attention_traffic;
mod candidates;
mod catch_up;
mod commit;
mod device;
mod embed;
mod grow;
mod matmul;
mod matmul_rows;
mod norm_residual;
mod product_traffic;
mod random;
mod readback;
mod rope;
mod round;
mod sample;
mod sample_rows;
mod tree;
mod weights;

use understory_shaders::reference;

/// In outputs before a kernel runs.
pub const MARK: f32 = 1.0e30;

/// Limits on the largest error of a result over the root mean square of the expected values, or over 1 where that
/// is smaller: operands are of order 1, so smaller results are what is left when larger ones cancel.
///
/// f32 and f16 weights share them: f16 values are rounded before both kernel and reference see them, and the kernels
/// compute in f32 either way.
pub mod limit {
    /// A few roundings an element: half a unit in the last place each, 6e-8.
    pub const ELEMENT: f64 = 1e-6;
    /// Sums of up to 300 products: 300 roundings that add up like a random walk, and elements five times the RMS.
    pub const SUM: f64 = 1e-5;
    /// As `SUM`, through `exp`, `tanh` and the kernel's polynomial for erf (absolute error 1.5e-7).
    pub const ACTIVATED: f64 = 2e-5;
    /// `exp` of scores around 10 keeps their absolute error of 1e-6; WGSL allows `exp` itself 3 + 2|x| units in the
    /// last place, 2e-6.
    pub const SOFTMAX: f64 = 2e-5;
    /// Results stored in halves: two roundings of one unit in the last place, 2^-11 of values up to four times the RMS.
    pub const HALF: f64 = 4e-3;
    /// Sums of squares double the relative error of what is squared.
    pub const SQUARES: f64 = 4e-5;
}

/// Panics where `got` is further from `want` than `limit`, as in [`limit`].
pub fn assert_close(what: &str, got: &[f32], want: &[f64], limit: f64) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let rms = (want.iter().map(|w| w * w).sum::<f64>() / want.len().max(1) as f64).sqrt();
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs() / rms.max(1.0);
        assert!(error <= limit, "{what}: element {i} is {g}, expected {w}: error {error:e}, RMS {rms:e}");
    }
}

/// Compares partial sums, `[rows * blocks]` pairs.
pub fn assert_stats(what: &str, got: &[[f32; 2]], want: &[[f64; 2]]) {
    for (part, limit) in [(0, limit::SUM), (1, limit::SQUARES)] {
        let got: Vec<f32> = got.iter().map(|s| s[part]).collect();
        let want: Vec<f64> = want.iter().map(|s| s[part]).collect();
        assert_close(&format!("{what}, partial sum {part}"), &got, &want, limit);
    }
}

/// Splits rows of `stride` into their first `width` elements, and checks that the rest is marked.
pub fn unpad(what: &str, padded: &[f32], stride: usize, width: usize, rows: usize) -> Vec<f32> {
    for (i, &v) in padded.iter().enumerate() {
        let inside = i / stride < rows && i % stride < width;
        assert!(inside || v == MARK, "{what}: wrote {v} at row {}, column {}", i / stride, i % stride);
    }
    padded.chunks_exact(stride).take(rows).flat_map(|row| &row[..width]).copied().collect()
}
