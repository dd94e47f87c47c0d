//! The way of matrices in blocks to the device: as the files hold them, or rounded to blocks here.

use std::ops::Range;

use understory_model::quantised::{BlockType, Rounding};
use understory_model::weights::{ModelWeights, Slot, StoredType};
use understory_protocol::{Dtype, Error, Result};

use super::form::{Plain, rounding};
use super::layout::{MatrixLayout, RowOrder};
use super::planes::{PlaneOffsets, Planes, ScaleTooLarge};
use super::upload::{DOING, PIECE_VALUES, Upload};
use super::{Form, Matrix, MatrixPart, Store};

/// Bytes of a word of the planes.
const WORD_BYTES: u64 = 16;

/// Where blocks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stored(BlockType),
    Rounded(Rounding),
}

impl Source {
    fn block_type(self) -> BlockType {
        match self {
            Self::Stored(block_type) => block_type,
            Self::Rounded(rounding) => rounding.block_type(),
        }
    }
}

/// Why a matrix does not go to the device as blocks.
enum Unfit {
    Scale,
    Other(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<ScaleTooLarge> for Unfit {
    fn from(_: ScaleTooLarge) -> Self {
        Self::Scale
    }
}

/// The forms in which the parts of a slot's matrix go to the device, unless a scale turns out to be too large for it.
pub fn forms(weights: &ModelWeights<'_>, slot: Slot, order: RowOrder, dtype: Dtype) -> Vec<Form> {
    match sources(weights, slot, order, dtype) {
        Ok(sources) => sources.iter().map(|(_, source)| Form::Blocks(source.block_type())).collect(),
        Err(plain) => vec![Form::Plain(plain)],
    }
}

/// The rows of a matrix by where their blocks come from. `Err`: the form of its values where it has no blocks, or cannot
/// have them: each block of four rows has one type, and gate and up rows lie in one.
fn sources(
    weights: &ModelWeights<'_>,
    slot: Slot,
    order: RowOrder,
    dtype: Dtype,
) -> Result<Vec<(Range<usize>, Source)>, Plain> {
    let stored = weights.stored_parts(slot);
    let cols = weights.shape(slot).map_or(0, |[_, cols]| cols);
    let in_blocks = stored.iter().any(|(_, stored)| matches!(stored, StoredType::Blocks(_)));
    // What is in blocks but cannot stay so keeps its values.
    let plain = if in_blocks { Plain::F32 } else { Plain::of(dtype) };
    if dtype == Dtype::F32 {
        return Err(plain);
    }
    let mut sources: Vec<(Range<usize>, Source)> = Vec::new();
    for (rows, stored) in stored {
        let source = match stored {
            StoredType::Blocks(block_type) => Source::Stored(block_type),
            _ => Source::Rounded(rounding(dtype, cols).ok_or(plain)?),
        };
        match sources.last_mut() {
            Some((before, same)) if *same == source => before.end = rows.end,
            _ => sources.push((rows, source)),
        }
    }
    let alike = sources.len() == 1;
    let cut_rows = order.cut_rows();
    let cut_well = cut_rows.is_some_and(|unit| sources.iter().all(|(rows, _)| rows.start.is_multiple_of(unit)));
    if alike || cut_well { Ok(sources) } else { Err(plain) }
}

impl Upload<'_> {
    /// A matrix in the forms of its parts.
    pub(super) async fn matrix(&mut self, slot: Slot, order: RowOrder) -> Result<Matrix> {
        let layout = MatrixLayout { order, ..self.layout(slot) };
        let sources = match sources(self.weights, slot, order, self.dtype) {
            Ok(sources) => sources,
            Err(plain) => return self.matrix_in(MatrixLayout { plain, ..layout }, slot).await,
        };
        let mut parts = Vec::new();
        for (rows, source) in sources {
            match self.block_parts(slot, &layout, rows, source, &mut parts).await {
                Ok(()) => {}
                Err(Unfit::Other(error)) => return Err(error),
                Err(Unfit::Scale) => return self.matrix_in(MatrixLayout { plain: Plain::F32, ..layout }, slot).await,
            }
        }
        Ok(Matrix { parts, k8: layout.cols as u32 / 8, rows: layout.rows as u32 })
    }

    /// Appends the parts that rows of one source make.
    async fn block_parts(
        &mut self,
        slot: Slot,
        layout: &MatrixLayout,
        rows: Range<usize>,
        source: Source,
        parts: &mut Vec<MatrixPart>,
    ) -> Result<(), Unfit> {
        let block_type = source.block_type();
        let cols = layout.cols;
        // The rows as a matrix of their own.
        let own = MatrixLayout { rows: rows.len(), order: layout.order.from_row(rows.start), ..*layout };
        let n_blocks = own.n_blocks();
        let [codes, high, scales] = Planes::words(block_type, cols).map(|words| words as u64);
        let blocks_per_part = self.blocks_per_part(WORD_BYTES * (codes + high + scales), own.order)?;
        let blocks_per_piece = (PIECE_VALUES / (4 * cols)).max(1);
        for block0 in (0..n_blocks).step_by(blocks_per_part) {
            let blocks = blocks_per_part.min(n_blocks - block0);
            let n = blocks as u64;
            let planes = PlaneOffsets { high: (n * codes) as u32, scales: (n * (codes + high)) as u32 };
            let buffer = self.gpu.storage_deferred(DOING, WORD_BYTES * n * (codes + high + scales))?;
            for piece in (block0..block0 + blocks).step_by(blocks_per_piece) {
                let piece_end = (piece + blocks_per_piece).min(block0 + blocks);
                self.read_planes(slot, &own, rows.start, source, piece..piece_end)?;
                let done = (piece - block0) as u64;
                let mut bytes = 0;
                for (first, words, plane) in [
                    (0, codes, &self.planes.codes),
                    (u64::from(planes.high), high, &self.planes.high),
                    (u64::from(planes.scales), scales, &self.planes.scales),
                ] {
                    let plane: &[u8] = bytemuck::cast_slice(plane);
                    bytes += plane.len();
                    if !plane.is_empty() {
                        self.gpu.queue().write_buffer(&buffer, WORD_BYTES * (first + done * words), plane);
                    }
                }
                self.written(bytes).await?;
                self.progress((piece_end - piece) * 4 * cols);
            }
            let store = Store::new(self.gpu, DOING, buffer, layout.kernel_set, cols / 8)?;
            let row0 = (rows.start + 4 * block0) as u32;
            parts.push(MatrixPart { store, form: Form::Blocks(block_type), planes, row0, blocks: blocks as u32 });
        }
        Ok(())
    }

    /// Fills `self.planes` with `blocks` of the rows of `own`, the first of which is row `row0` of the slot.
    fn read_planes(
        &mut self,
        slot: Slot,
        own: &MatrixLayout,
        row0: usize,
        source: Source,
        blocks: Range<usize>,
    ) -> Result<(), Unfit> {
        let sources = own.sources(blocks.clone());
        let mut stored = [Vec::new(), Vec::new()];
        for (rows, stored) in sources.iter().zip(&mut stored) {
            self.read_block_rows(slot, rows.start + row0..rows.end + row0, source, stored)?;
        }
        let row_bytes = own.cols / source.block_type().block_len() * source.block_type().block_bytes();
        self.planes.clear();
        for block in blocks {
            let rows = own
                .places(&sources, block)
                .map(|place| place.map(|(which, i)| &stored[which][i * row_bytes..(i + 1) * row_bytes]));
            self.planes.push(source.block_type(), own.cols, rows)?;
        }
        Ok(())
    }

    /// Replaces `out` by rows of a slot in blocks.
    fn read_block_rows(
        &mut self,
        slot: Slot,
        rows: Range<usize>,
        source: Source,
        out: &mut Vec<u8>,
    ) -> Result<(), Unfit> {
        out.clear();
        match source {
            Source::Rounded(rounding) => {
                self.weights.read_rows(slot, rows, &mut self.values)?;
                rounding.append(&self.values, out).map_err(|_| Unfit::Scale)
            }
            // A part may consist of several stored tensors.
            Source::Stored(_) => {
                let mut bytes = Vec::new();
                for (stored, _) in self.weights.stored_parts(slot) {
                    let part = rows.start.max(stored.start)..rows.end.min(stored.end);
                    if !part.is_empty() {
                        self.weights.read_stored_rows(slot, part, &mut bytes)?;
                        out.extend_from_slice(&bytes);
                    }
                }
                Ok(())
            }
        }
    }
}
