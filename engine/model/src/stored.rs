//! A tensor as a file holds it, whatever the file's format: its element type, its shape and where it lies.

use understory_protocol::{Error, Result};

use crate::quantised::BlockType;

/// How the elements of a weight are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoredType {
    F32,
    F16,
    Bf16,
    /// blocks along a row
    Blocks(BlockType),
}

impl StoredType {
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Blocks(block) => block.name(),
        }
    }

    /// Elements that are stored together: 1 but for blocks. A row has a multiple of these.
    pub const fn block_len(self) -> usize {
        match self {
            Self::Blocks(block) => block.block_len(),
            _ => 1,
        }
    }

    /// Bytes of [`StoredType::block_len`] elements.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Blocks(block) => block.block_bytes(),
        }
    }

    /// Bytes of `elements` that lie together; `None` where they are no whole number of blocks or too many.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        let len = self.block_len() as u64;
        elements.is_multiple_of(len).then_some(())?;
        (elements / len).checked_mul(self.block_bytes() as u64)
    }

    /// Bytes of a tensor whose rows are along its last dimension.
    pub(crate) fn tensor_bytes(self, shape: &[u64]) -> Option<u64> {
        let (&row, outer) = shape.split_last().unwrap_or((&1, &[]));
        outer.iter().try_fold(self.bytes(row)?, |product, &n| product.checked_mul(n))
    }
}

/// One tensor as a header describes it; the type is anything until somebody needs the tensor.
#[derive(Clone, Debug)]
pub(crate) struct TensorEntry {
    /// the type's name in its file
    pub type_name: String,
    /// `None`: not a type that is read
    pub stored: Option<StoredType>,
    /// the row's length last
    pub shape: Vec<u64>,
    /// from the start of the file
    pub offset: u64,
    pub len: u64,
}

impl TensorEntry {
    /// # Errors
    /// [`Error::UnknownDtype`].
    pub fn stored(&self, name: &str, known: &'static str) -> Result<StoredType> {
        let unknown = || Error::UnknownDtype { name: name.into(), dtype: self.type_name.clone(), known };
        self.stored.ok_or_else(unknown)
    }
}
