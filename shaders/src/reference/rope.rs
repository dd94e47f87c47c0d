//! `rope.wesl`: an optional RMS norm over each head of q and k, the half-split rotation, and K and V apart.

use super::block_stats::row_blocks;
use super::positions::Positions;
use super::row_stats::{Norm, row_stats};

pub struct Rope<'a> {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub positions: Positions<'a>,
    /// `[positions, rotary_dim / 2]` (cos, sin)
    pub angles: &'a [[f32; 2]],
    /// 0: no rotation
    pub rotary_dim: usize,
    /// q's factor, then k's, `[2, head_dim]`, and epsilon
    pub qk_norm: Option<(&'a [f32], f32)>,
}

/// `q: [rows, n_heads, head_dim]`; `k`, `v`: `[rows, n_kv_heads, head_dim]`, to lie each in its row's slot.
#[derive(Default)]
pub struct Rotated {
    pub q: Vec<f64>,
    pub k: Vec<f64>,
    pub v: Vec<f64>,
}

/// `qkv`: `[rows, (n_heads + 2 n_kv_heads) * head_dim]`.
pub fn rope(op: &Rope, qkv: &[f32]) -> Rotated {
    let heads = op.n_heads + 2 * op.n_kv_heads;
    let mut out = Rotated::default();
    for (m, row) in qkv.chunks_exact(heads * op.head_dim).enumerate() {
        for (head, values) in row.chunks_exact(op.head_dim).enumerate() {
            let values: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
            if head < op.n_heads {
                out.q.extend(turned(op, m, 0, values));
            } else if head < op.n_heads + op.n_kv_heads {
                out.k.extend(turned(op, m, 1, values));
            } else {
                out.v.extend(values);
            }
        }
    }
    out
}

/// One head of q (`which` 0) or k (1), normed and rotated.
fn turned(op: &Rope, m: usize, which: usize, mut head: Vec<f64>) -> Vec<f64> {
    if let Some((gamma, eps)) = op.qk_norm {
        let s = row_stats(Norm::Rms, &row_blocks(Norm::Rms, &head), op.head_dim, eps);
        let gamma = &gamma[which * op.head_dim..][..op.head_dim];
        head.iter_mut().zip(gamma).for_each(|(v, &g)| *v *= s.rstd * f64::from(g));
    }
    let half = op.rotary_dim / 2;
    for i in 0..half {
        let [cos, sin] = op.angles[op.positions.position(m) * half + i].map(f64::from);
        let (a, b) = (head[i], head[i + half]);
        head[i] = a * cos - b * sin;
        head[i + half] = b * cos + a * sin;
    }
    head
}
