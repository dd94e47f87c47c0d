//! Where the values of a matrix lie on the device: sizes, padding, the order of rows, and the bits. Plain code without
//! a device.

use std::ops::Range;

use understory_model::config::{LayerKind, ModelConfig};
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
    /// Heads of `head` rows. Of those among the first `rotated` rows, blocks of two neighbours among the first half of the
    /// first `rotary` rows, and those that they rotate with; the others as stored.
    Rotary {
        head: usize,
        rotary: usize,
        rotated: usize,
    },
}

impl RowOrder {
    /// That of the first product of an MLP.
    pub fn of_mlp(gated: bool) -> Self {
        if gated { Self::GateUp } else { Self::AsStored }
    }

    /// That of the product for q, k and v of a layer where the product rotates and appends by itself
    /// (`shaders/kernels/lib/append.wesl`). `None`: heads have a norm of their own, or pairs do not come in whole blocks.
    pub fn of_qkv(config: &ModelConfig, layer: &LayerKind, kernel_set: KernelSet) -> Option<Self> {
        let order = match layer.rope {
            None => Self::AsStored,
            Some(rope) => Self::Rotary {
                head: config.head_dim,
                rotary: config.ropes[rope].rotary_dim,
                rotated: config.q_dim() + config.kv_dim(),
            },
        };
        config.appends_in_product(layer, kernel_set).then_some(order)
    }

    /// That of the rows from `first` on, which begins a head.
    pub fn from_row(self, first: usize) -> Self {
        match self {
            Self::Rotary { head, rotary, rotated } => {
                Self::Rotary { head, rotary, rotated: rotated.saturating_sub(first) }
            }
            other => other,
        }
    }

    /// Rows of which a matrix that is cut into matrices begins each: blocks stay whole there. `None`: it cannot be cut.
    pub fn cut_rows(self) -> Option<usize> {
        match self {
            Self::AsStored => Some(4),
            Self::GateUp => None,
            Self::Rotary { head, .. } => Some(head),
        }
    }

    /// Blocks that parts of a matrix may not separate.
    pub fn blocks_together(self) -> usize {
        match self {
            Self::AsStored | Self::GateUp => 1,
            Self::Rotary { .. } => 2,
        }
    }

    /// Blocks of a matrix of so many rows.
    pub fn n_blocks(self, rows: usize) -> usize {
        match self {
            Self::AsStored | Self::Rotary { .. } => rows.div_ceil(4),
            Self::GateUp => (rows / 2).div_ceil(2),
        }
    }

    /// The stored rows that block `block` of a matrix of `rows` rows is made of; `None` is padding.
    pub fn block_rows(self, rows: usize, block: usize) -> [Option<usize>; 4] {
        let first = 4 * block;
        match self {
            Self::GateUp => {
                let half = rows / 2;
                let row = |i: usize, first: usize| (i < half).then_some(first + i);
                [row(2 * block, 0), row(2 * block + 1, 0), row(2 * block, half), row(2 * block + 1, half)]
            }
            Self::Rotary { head, rotary, rotated } if first < rotated && first % head < rotary => {
                let at = first % head;
                let (i, half) = (first - at + at / 2, rotary / 2);
                [i, i + 1, i + half, i + half + 1].map(Some)
            }
            Self::AsStored | Self::Rotary { .. } => {
                [first, first + 1, first + 2, first + 3].map(|row| (row < rows).then_some(row))
            }
        }
    }

    /// A vector of one value a row in this order, padded to whole blocks with zeros.
    pub fn arranged(self, values: &[f32]) -> impl Iterator<Item = f32> {
        let rows = values.len();
        let value = |row: Option<usize>| row.map_or(0.0, |row| values[row]);
        (0..self.n_blocks(rows)).flat_map(move |block| self.block_rows(rows, block).map(value))
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
        self.order.n_blocks(self.rows)
    }

    /// Stored rows that `blocks` are among; of gate and up each its own.
    pub fn sources(&self, blocks: Range<usize>) -> [Range<usize>; 2] {
        match self.order {
            RowOrder::AsStored => [4 * blocks.start..(4 * blocks.end).min(self.rows), 0..0],
            RowOrder::GateUp => {
                let half = self.rows / 2;
                let gate = 2 * blocks.start..(2 * blocks.end).min(half);
                let up = half + gate.start..half + gate.end;
                [gate, up]
            }
            RowOrder::Rotary { head, .. } => {
                let first = 4 * blocks.start / head * head;
                [first..(4 * blocks.end).next_multiple_of(head).min(self.rows), 0..0]
            }
        }
    }

    /// Where the rows of `block` lie among `sources`: which of them, and how far from its beginning.
    pub fn places(&self, sources: &[Range<usize>; 2], block: usize) -> [Option<(usize, usize)>; 4] {
        self.order.block_rows(self.rows, block).map(|row| {
            let row = row?;
            let which = usize::from(!sources[0].contains(&row));
            Some((which, row - sources[which].start))
        })
    }

    /// `blocks`, made of the rows that [`Self::sources`] names, as values in the order of the device.
    pub fn arrange(&self, blocks: Range<usize>, values: [&[f32]; 2]) -> Vec<f32> {
        let (cols, k) = (self.cols, self.padded_cols());
        let sources = self.sources(blocks.clone());
        let mut out = vec![0.0f32; blocks.len() * 4 * k];
        let places = blocks.flat_map(|block| self.places(&sources, block));
        for (to, place) in out.chunks_exact_mut(k).zip(places) {
            if let Some((which, i)) = place {
                to[..cols].copy_from_slice(&values[which][i * cols..(i + 1) * cols]);
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
        let rotary = RowOrder::Rotary { head: 12, rotary: 8, rotated: 36 };
        for (order, rows) in [RowOrder::AsStored, RowOrder::GateUp]
            .into_iter()
            .flat_map(|order| [2, 4, 6, 10, 26].map(|rows| (order, rows)))
            .chain([(rotary, 48)])
        {
            {
                let layout = layout(rows, 11, order);
                let blocks = |blocks: Range<usize>| {
                    let [first, second] = layout.sources(blocks.clone()).map(|rows| numbered(rows, 11));
                    layout.arrange(blocks, [&first, &second])
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
        let values = layout.arrange(0..2, [&numbered(gate, 1), &numbered(up, 1)]);
        let first_columns: Vec<f32> = values.iter().step_by(8).copied().collect();
        assert_eq!(first_columns, [0.0, 100.0, 300.0, 400.0, 200.0, 0.0, 500.0, 0.0]);
        let bias = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5];
        let expected = [0.5, 1.5, 3.5, 4.5, 2.5, 0.0, 5.5, 0.0];
        assert_eq!(RowOrder::GateUp.arranged(&bias).collect::<Vec<_>>(), expected);
    }

    /// Two heads of 12 that rotate their first 8 rows, and one that does not, as v's.
    #[test]
    fn rows_that_rotate_together_lie_in_one_block() {
        let order = RowOrder::Rotary { head: 12, rotary: 8, rotated: 24 };
        let rows: Vec<_> = (0..order.n_blocks(36)).flat_map(|block| order.block_rows(36, block)).flatten().collect();
        let head = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 10, 11];
        let expected = [head, head.map(|row| 12 + row), std::array::from_fn(|row| 24 + row)].concat();
        assert_eq!(rows, expected);
        let from_second: Vec<_> = (0..6).flat_map(|block| order.from_row(12).block_rows(24, block)).flatten().collect();
        assert_eq!(from_second, expected[12..].iter().map(|row| row - 12).collect::<Vec<_>>());
    }

    #[test]
    fn rows_and_columns_are_padded_with_zeros() {
        let layout = layout(5, 9, RowOrder::AsStored);
        assert_eq!((layout.n_blocks(), layout.padded_cols(), layout.block_bytes()), (2, 16, 4 * 16 * 4));
        assert_eq!(MatrixLayout { plain: Plain::F16, ..layout }.block_bytes(), 4 * 16 * 2);
        let values = layout.arrange(0..2, [&[1.0; 45], &[]]);
        for (i, &value) in values.iter().enumerate() {
            assert_eq!(value, if i / 16 < 5 && i % 16 < 9 { 1.0 } else { 0.0 }, "row {}, column {}", i / 16, i % 16);
        }
    }

    /// A block of CPU adapters: columns 0 to 7 of its four rows, then columns 8 to 15.
    #[test]
    fn rows_of_a_block_are_interleaved_for_cpu_adapters() {
        let layout = MatrixLayout { kernel_set: KernelSet::Cpu, ..layout(4, 16, RowOrder::AsStored) };
        let values = layout.arrange(0..1, [&numbered(0..4, 16), &[]]);
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
