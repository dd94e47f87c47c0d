//! `embed.wesl`: X[m, :] = E[token[m], :] * scale (+ P[pos, :]), pos the position of row m, and the partial sums of
//! each row.

use super::block_stats::row_blocks;
use super::positions::Positions;
use super::row_stats::Norm;

pub struct Embed<'a> {
    /// `[vocab, width]`
    pub table: &'a [f32],
    /// `[positions, width]`, and those of the rows
    pub positions: Option<(&'a [f32], Positions<'a>)>,
    pub width: usize,
    pub scale: f32,
    /// the norm that reads the partial sums
    pub norm: Norm,
}

/// `[rows, width]`, and `[rows, ceil(width / 4)]` partial sums.
pub fn embed(op: &Embed, tokens: &[u32]) -> (Vec<f64>, Vec<[f64; 2]>) {
    let mut x = Vec::new();
    let mut stats = Vec::new();
    for (m, &token) in tokens.iter().enumerate() {
        let row = &op.table[token as usize * op.width..][..op.width];
        let mut out: Vec<f64> = row.iter().map(|&e| f64::from(e) * f64::from(op.scale)).collect();
        if let Some((table, positions)) = op.positions {
            let position = &table[positions.position(m) * op.width..][..op.width];
            out.iter_mut().zip(position).for_each(|(o, &p)| *o += f64::from(p));
        }
        stats.extend(row_blocks(op.norm, &out));
        x.extend(out);
    }
    (x, stats)
}
