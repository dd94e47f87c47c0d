//! `attention.wesl`, and its split form with `attention_reduce.wesl`: causal attention of each row of Q over the
//! cache, grouped queries, optional sliding window. The softmax here is over all keys at once.

use super::positions::Positions;

pub struct Attention<'a> {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// 0: none
    pub window: usize,
    pub scale: f32,
    pub positions: Positions<'a>,
    /// `[slots, n_kv_heads, head_dim]`
    pub k_cache: &'a [f32],
    pub v_cache: &'a [f32],
}

/// Out[m, h, :] = softmax_j(scale * Q[m, h] . K[j, h / group]) V[j, h / group] over
/// j = max(0, pos - window + 1) ..= pos, pos the position of row m; `q` and the result `[rows, n_heads, head_dim]`.
pub fn attention(op: &Attention, q: &[f32]) -> Vec<f64> {
    let d = op.head_dim;
    let group = op.n_heads / op.n_kv_heads;
    let mut out = Vec::with_capacity(q.len());
    for (i, query) in q.chunks_exact(d).enumerate() {
        let m = i / op.n_heads;
        let pos = op.positions.position(m);
        let kv_head = i % op.n_heads / group;
        let first = if op.window == 0 { 0 } else { (pos + 1).saturating_sub(op.window) };
        let at = |j: usize| (op.positions.slot(m, j) * op.n_kv_heads + kv_head) * d;
        let score = |j: usize| -> f64 {
            let key = &op.k_cache[at(j)..][..d];
            let dot: f64 = query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            dot * f64::from(op.scale)
        };
        let scores: Vec<f64> = (first..=pos).map(score).collect();
        let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        let mut sum = vec![0.0; d];
        for (j, s) in (first..=pos).zip(&scores) {
            let weight = (s - peak).exp();
            total += weight;
            sum.iter_mut().zip(&op.v_cache[at(j)..][..d]).for_each(|(o, &v)| *o += weight * f64::from(v));
        }
        out.extend(sum.iter().map(|v| v / total));
    }
    out
}
