//! Where the values of a matrix lie on the device: sizes, padding, the order of rows, and the bits. Plain code without
//! a device.

use std::ops::Range;

use understory_model::halves::narrow;
use understory_protocol::KernelSet;

use super::form::Plain;

/// Bits of f16's infinity, without its sign.
const F16_INFINITY: u16 = 0x7c00;

/// The order in which a matrix's rows lie on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    AsStored,
    /// blocks of two gate rows and the two up rows that they gate
    GateUp,
}

impl RowOrder {
    /// That of the first product of an MLP.
    pub fn of_mlp(gated: bool) -> Self {
        if gated { Self::GateUp } else { Self::AsStored }
    }
}

/// A matrix `[rows, cols]` in blocks of 4 rows.
#[derive(Clone, Copy, Debug)]
pub struct MatrixLayout {
    pub rows: usize,
    pub cols: usize,
    pub order: RowOrder,
    pub plain: Plain,
    pub kernel_set: KernelSet,
}

/// A finite value that is infinite in f16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overflow {
    pub value: f32,
    pub index: usize,
}

impl MatrixLayout {
    pub fn padded_cols(&self) -> usize {
        padded(self.cols)
    }

    pub fn block_bytes(&self) -> u64 {
        (4 * self.plain.bytes() * self.padded_cols()) as u64
    }

    pub fn n_blocks(&self) -> usize {
        match self.order {
            RowOrder::AsStored => self.rows.div_ceil(4),
            RowOrder::GateUp => (self.rows / 2).div_ceil(2),
        }
    }

    /// The stored rows that `blocks` are made of; of gate and up each its own.
    pub fn sources(&self, blocks: Range<usize>) -> [Range<usize>; 2] {
        match self.order {
            RowOrder::AsStored => [4 * blocks.start..(4 * blocks.end).min(self.rows), 0..0],
            RowOrder::GateUp => {
                let half = self.rows / 2;
                let gate = 2 * blocks.start..(2 * blocks.end).min(half);
                let up = half + gate.start..half + gate.end;
                [gate, up]
            }
        }
    }

    /// `n_blocks` blocks, made of the rows that [`Self::sources`] names, as values in the order of the device.
    pub fn arrange(&self, n_blocks: usize, [first, second]: [&[f32]; 2]) -> Vec<f32> {
        let (cols, k) = (self.cols, self.padded_cols());
        let mut out = vec![0.0f32; n_blocks * 4 * k];
        match self.order {
            RowOrder::AsStored => {
                for (to, from) in out.chunks_exact_mut(k).zip(first.chunks_exact(cols)) {
                    to[..cols].copy_from_slice(from);
                }
            }
            RowOrder::GateUp => {
                for (to, source) in out.chunks_exact_mut(k).zip(gate_up_rows(first.len() / cols)) {
                    if let Some((is_up, i)) = source {
                        let from = if is_up { second } else { first };
                        to[..cols].copy_from_slice(&from[i * cols..(i + 1) * cols]);
                    }
                }
            }
        }
        match self.kernel_set {
            KernelSet::Cpu => interleaved(&out, k),
            KernelSet::Gpu => out,
        }
    }

    /// Replaces `bytes` by `values` as the device holds them.
    pub fn encode(&self, values: &[f32], bytes: &mut Vec<u8>) -> Result<(), Overflow> {
        bytes.clear();
        match self.plain {
            Plain::F32 => bytes.extend_from_slice(bytemuck::cast_slice(values)),
            Plain::F16 => {
                let mut halves = vec![0; values.len()];
                narrow(values, &mut halves);
                // All at once first: nearly always there is nothing to look for.
                let largest = halves.iter().fold(0, |largest, half| (half & 0x7fff).max(largest));
                let overflown = |&i: &usize| halves[i] & 0x7fff == F16_INFINITY && values[i].is_finite();
                if let Some(index) = (0..values.len()).filter(|_| largest >= F16_INFINITY).find(overflown) {
                    return Err(Overflow { value: values[index], index });
                }
                bytes.extend_from_slice(bytemuck::cast_slice(&halves));
            }
        }
        Ok(())
    }
}

/// Columns of a row, or values of a vector, as the kernels step through them.
pub fn padded(cols: usize) -> usize {
    cols.next_multiple_of(8)
}

/// A vector of `bias.len() / 2` gate and as many up values in the order of [`RowOrder::GateUp`].
pub fn gate_up_vector(bias: &[f32]) -> impl Iterator<Item = f32> {
    let (gate, up) = bias.split_at(bias.len() / 2);
    gate_up_rows(gate.len()).map(|row| row.map_or(0.0, |(is_up, i)| if is_up { up[i] } else { gate[i] }))
}

/// Blocks of 4 rows of `k` values with their rows interleaved every 8 columns.
pub fn interleaved(rows: &[f32], k: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for block in rows.chunks_exact(4 * k) {
        for column in (0..k).step_by(8) {
            for row in block.chunks_exact(k) {
                out.extend_from_slice(&row[column..column + 8]);
            }
        }
    }
    out
}

/// For `n` gate rows and `n` up rows: which row lies where, as (is up, index); `None` is padding.
fn gate_up_rows(n: usize) -> impl Iterator<Item = Option<(bool, usize)>> {
    (0..n.div_ceil(2)).flat_map(move |b| {
        [(false, 2 * b), (false, 2 * b + 1), (true, 2 * b), (true, 2 * b + 1)].map(|(up, i)| (i < n).then_some((up, i)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(rows: usize, cols: usize, order: RowOrder) -> MatrixLayout {
        MatrixLayout { rows, cols, order, plain: Plain::F32, kernel_set: KernelSet::Gpu }
    }

    /// Every row's first value is its number.
    fn numbered(rows: Range<usize>, cols: usize) -> Vec<f32> {
        rows.flat_map(|row| (0..cols).map(move |col| (100 * row + col) as f32)).collect()
    }

    /// Any cut into pieces gives the blocks of the whole. Rows that are counted from the piece's start fail this.
    #[test]
    fn pieces_are_parts_of_the_whole() {
        for order in [RowOrder::AsStored, RowOrder::GateUp] {
            for rows in [2, 4, 6, 10, 26] {
                let layout = layout(rows, 11, order);
                let blocks = |blocks: Range<usize>| {
                    let [first, second] = layout.sources(blocks.clone()).map(|rows| numbered(rows, 11));
                    layout.arrange(blocks.len(), [&first, &second])
                };
                let n = layout.n_blocks();
                let whole = blocks(0..n);
                assert_eq!(whole.len(), n * 4 * 16);
                for size in 1..=n {
                    let pieces: Vec<f32> =
                        (0..n).step_by(size).flat_map(|first| blocks(first..(first + size).min(n))).collect();
                    assert_eq!(pieces, whole, "{order:?}, {rows} rows, {size} blocks at once");
                }
            }
        }
    }

    #[test]
    fn two_gate_rows_lie_before_the_two_up_rows_that_they_gate() {
        // Three gate rows, 0 to 2, and three up rows, 3 to 5.
        let layout = layout(6, 1, RowOrder::GateUp);
        let [gate, up] = layout.sources(0..2);
        assert_eq!((gate.clone(), up.clone()), (0..3, 3..6));
        let values = layout.arrange(2, [&numbered(gate, 1), &numbered(up, 1)]);
        let first_columns: Vec<f32> = values.iter().step_by(8).copied().collect();
        assert_eq!(first_columns, [0.0, 100.0, 300.0, 400.0, 200.0, 0.0, 500.0, 0.0]);
        let bias = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5];
        let expected = [0.5, 1.5, 3.5, 4.5, 2.5, 0.0, 5.5, 0.0];
        assert_eq!(gate_up_vector(&bias).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn rows_and_columns_are_padded_with_zeros() {
        let layout = layout(5, 9, RowOrder::AsStored);
        assert_eq!((layout.n_blocks(), layout.padded_cols(), layout.block_bytes()), (2, 16, 4 * 16 * 4));
        assert_eq!(MatrixLayout { plain: Plain::F16, ..layout }.block_bytes(), 4 * 16 * 2);
        let values = layout.arrange(2, [&[1.0; 45], &[]]);
        for (i, &value) in values.iter().enumerate() {
            assert_eq!(value, if i / 16 < 5 && i % 16 < 9 { 1.0 } else { 0.0 }, "row {}, column {}", i / 16, i % 16);
        }
    }

    /// A block of CPU adapters: columns 0 to 7 of its four rows, then columns 8 to 15.
    #[test]
    fn rows_of_a_block_are_interleaved_for_cpu_adapters() {
        let layout = MatrixLayout { kernel_set: KernelSet::Cpu, ..layout(4, 16, RowOrder::AsStored) };
        let values = layout.arrange(1, [&numbered(0..4, 16), &[]]);
        let eights: Vec<f32> = values.iter().step_by(8).copied().collect();
        assert_eq!(eights, [0.0, 100.0, 200.0, 300.0, 8.0, 108.0, 208.0, 308.0]);
    }

    /// The largest f16 is 65504; from 65520 on values round to infinity. An infinite value is none that overflows.
    #[test]
    fn what_f16_cannot_hold_is_named() {
        let layout = MatrixLayout { plain: Plain::F16, ..layout(4, 8, RowOrder::AsStored) };
        let mut bytes = vec![1];
        assert_eq!(layout.encode(&[65_519.0, f32::INFINITY, f32::NAN, 1.0], &mut bytes), Ok(()));
        assert_eq!(bytes[..4], [0xff, 0x7b, 0x00, 0x7c]);
        assert_eq!(bytes[6..], [0x00, 0x3c]);
        let overflow = layout.encode(&[1.0, f32::INFINITY, -65_520.0, 1e9], &mut bytes);
        assert_eq!(overflow, Err(Overflow { value: -65_520.0, index: 2 }));
        let single = MatrixLayout { plain: Plain::F32, ..layout };
        assert_eq!(single.encode(&[1e9], &mut bytes), Ok(()));
        assert_eq!(bytes, 1e9f32.to_le_bytes());
    }
}
