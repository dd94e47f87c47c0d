//! `matmul.wesl` and `matmul_prefill.wesl`: Y[m, n] = epilogue(sum_k W[n, k] * norm(X)[m, k] + bias[n]).

use super::activation::{Activation, activate};
use super::block_stats::row_blocks;
use super::row_stats::{Norm, row_stats};

/// What happens to finished outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    Store,
    Act(Activation),
    /// W holds all gate rows, then all up rows: `activate(gate) * up`
    Gated(Activation),
    /// add the residual, if there is one
    Residual,
    Logits,
}

/// The norm applied to a row of X as it is read.
pub struct NormOnLoad<'a> {
    pub gamma: &'a [f32],
    /// layer norm only
    pub beta: &'a [f32],
    pub eps: f32,
}

pub struct Matmul<'a> {
    /// `[n, k]`
    pub w: &'a [f32],
    /// `[rows, k]`
    pub x: &'a [f32],
    pub k: usize,
    /// the model's norm: on load, and of the partial sums that a residual product leaves
    pub norm: Norm,
    pub on_load: Option<NormOnLoad<'a>>,
    /// `[n]`
    pub bias: Option<&'a [f32]>,
    /// `[rows, n]`
    pub res: Option<&'a [f32]>,
    pub epilogue: Epilogue,
}

/// `[rows, n]` (gated: `[rows, n / 2]`), and the partial sums of each row.
pub fn matmul(op: &Matmul) -> (Vec<f64>, Vec<[f64; 2]>) {
    let n = op.w.len() / op.k;
    let mut y = Vec::new();
    let mut stats = Vec::new();
    for (m, row) in op.x.chunks_exact(op.k).enumerate() {
        let x = load(op, row);
        let product = |n: usize| -> f64 {
            let sum: f64 = op.w[n * op.k..][..op.k].iter().zip(&x).map(|(&w, x)| f64::from(w) * x).sum();
            sum + op.bias.map_or(0.0, |bias| f64::from(bias[n]))
        };
        let out: Vec<f64> = match op.epilogue {
            Epilogue::Store | Epilogue::Logits => (0..n).map(product).collect(),
            Epilogue::Act(a) => (0..n).map(|n| activate(a, product(n))).collect(),
            Epilogue::Gated(a) => (0..n / 2).map(|i| activate(a, product(i)) * product(n / 2 + i)).collect(),
            Epilogue::Residual => {
                (0..n).map(|i| product(i) + op.res.map_or(0.0, |res| f64::from(res[m * n + i]))).collect()
            }
        };
        stats.extend(row_blocks(op.norm, &out));
        y.extend(out);
    }
    (y, stats)
}

fn load(op: &Matmul, row: &[f32]) -> Vec<f64> {
    let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
    let Some(norm) = &op.on_load else { return row };
    let s = row_stats(op.norm, &row_blocks(op.norm, &row), op.k, norm.eps);
    let normed = row.iter().zip(norm.gamma).map(|(v, &g)| (v - s.mean) * s.rstd * f64::from(g));
    match op.norm {
        Norm::Rms => normed.collect(),
        Norm::Layer => normed.zip(norm.beta).map(|(v, &b)| v + f64::from(b)).collect(),
    }
}
