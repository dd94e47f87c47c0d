//! How the values of a part of a matrix are stored.

use understory_model::quantised::{BlockType, Rounding};
use understory_protocol::Dtype;

use super::planes::Planes;
use crate::gpu::Constants;

/// How each value is stored alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plain {
    F16,
    F32,
}

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Plain(Plain),
    Blocks(BlockType),
}

impl Plain {
    /// What is asked for, of values that cannot be rounded to blocks.
    pub fn of(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 | Dtype::Q8 | Dtype::Q4 => Self::F16,
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

impl Form {
    /// What is asked for, of values that are in no blocks, in rows of `cols`.
    pub fn of(dtype: Dtype, cols: usize) -> Self {
        match rounding(dtype, cols) {
            Some(rounding) => Self::Blocks(rounding.block_type()),
            None => Self::Plain(Plain::of(dtype)),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain(Plain::F16) => "f16",
            Self::Plain(Plain::F32) => "f32",
            Self::Blocks(block_type) => block_type.name(),
        }
    }

    /// Bytes of a row of `cols` values before padding, as the device holds them.
    pub fn row_bytes(self, cols: usize) -> u64 {
        match self {
            Self::Plain(plain) => (plain.bytes() * cols) as u64,
            // Words of four rows have 16 bytes.
            Self::Blocks(block_type) => 4 * Planes::words(block_type, cols).iter().sum::<usize>() as u64,
        }
    }

    /// What kernels that read weights are built with for it.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Plain(Plain::F16) => "f16",
            Self::Plain(Plain::F32) => "f32",
            Self::Blocks(_) => "blocks",
        }
    }

    /// The constants of `lib/weights.wesl`.
    pub fn constants(self) -> Constants {
        match self {
            Self::Plain(_) => Constants::new(),
            Self::Blocks(block_type) => {
                Constants::from([("CODE_BITS", block_type.code_bits()), ("KIND", scale_kind(block_type))])
            }
        }
    }
}

/// How values are rounded to blocks, where that is asked for and rows are whole blocks.
pub(super) fn rounding(dtype: Dtype, cols: usize) -> Option<Rounding> {
    match dtype {
        Dtype::Q8 => Some(Rounding::Q8),
        Dtype::Q4 => Some(Rounding::Q4),
        Dtype::F16 | Dtype::F32 => None,
    }
    .filter(|rounding| cols.is_multiple_of(rounding.block_type().block_len()))
}

/// How a type's scales are stored: `KIND` in `lib/weights.wesl`.
fn scale_kind(block_type: BlockType) -> u32 {
    match block_type {
        BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => 0,
        BlockType::Q4_1 | BlockType::Q5_1 => 1,
        BlockType::Q4K | BlockType::Q5K => 2,
        BlockType::Q6K => 3,
    }
}
