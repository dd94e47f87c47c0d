//! Random weights in every form, and the values that they stand for.

use understory_model::quantised::BlockType;
use understory_runtime::device_weights::{Form, Plain};

use crate::random::Random;

/// Rows of `cols` weights.
#[derive(Clone)]
pub struct Weights {
    pub form: Form,
    pub cols: usize,
    /// `[rows, cols]`, as the device has them
    pub values: Vec<f32>,
    /// blocks: `[rows, bytes of a row]`
    pub bytes: Vec<u8>,
}

impl Weights {
    /// Widths that the form allows.
    pub fn widths(form: Form) -> &'static [usize] {
        match form {
            // On GPUs 8, 16, 32 and 64 threads share a block up to 256, 512, 1024 and more columns.
            Form::Plain(_) => &[1, 3, 8, 20, 63, 64, 96, 130, 300, 600, 1100],
            Form::Blocks(block_type) if block_type.block_len() == 32 => &[32, 64, 96, 288, 576, 1152],
            Form::Blocks(_) => &[256, 512, 768, 1280],
        }
    }

    pub fn random(random: &mut Random, form: Form, rows: usize, cols: usize) -> Self {
        match form {
            Form::Plain(plain) => Self::plain(plain, cols, &random.values(rows * cols)),
            Form::Blocks(block_type) => {
                let n = rows * cols / block_type.block_len();
                Self::of_blocks(block_type, cols, (0..n).flat_map(|_| block(random, block_type)).collect())
            }
        }
    }

    /// `values` rounded to the form.
    pub fn plain(plain: Plain, cols: usize, values: &[f32]) -> Self {
        let values = match plain {
            Plain::F32 => values.to_vec(),
            Plain::F16 => values.iter().map(|&v| half::f16::from_f32(v).to_f32()).collect(),
        };
        Self { form: Form::Plain(plain), cols, values, bytes: Vec::new() }
    }

    fn of_blocks(block_type: BlockType, cols: usize, bytes: Vec<u8>) -> Self {
        let mut values = Vec::new();
        block_type.dequantise(&bytes, &mut values);
        Self { form: Form::Blocks(block_type), cols, values, bytes }
    }

    pub fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    /// The same values in f32.
    pub fn in_f32(&self) -> Self {
        Self::plain(Plain::F32, self.cols, &self.values)
    }

    /// Some of the rows in another order; `None` is a row of zeros.
    pub fn rearranged(&self, rows: &[Option<usize>]) -> Self {
        let values = rows.iter().flat_map(|row| match row {
            Some(row) => self.values[row * self.cols..][..self.cols].to_vec(),
            None => vec![0.0; self.cols],
        });
        let row_bytes = self.bytes.len() / self.rows();
        let bytes = rows.iter().flat_map(|row| match row {
            Some(row) => self.bytes[row * row_bytes..][..row_bytes].to_vec(),
            None => vec![0; row_bytes],
        });
        Self { values: values.collect(), bytes: bytes.collect(), ..*self }
    }
}

/// A block of any codes, whose values are of order 1; sometimes with a subnormal half among its scales.
fn block(random: &mut Random, block_type: BlockType) -> Vec<u8> {
    let mut block: Vec<u8> = (0..block_type.block_bytes()).map(|_| random.below(256) as u8).collect();
    let (halves, size): (&[usize], f32) = match block_type {
        BlockType::Q4_0 | BlockType::Q5_0 => (&[0], 0.1),
        BlockType::Q4_1 | BlockType::Q5_1 => (&[0, 2], 0.1),
        BlockType::Q8_0 => (&[0], 0.01),
        BlockType::Q4K | BlockType::Q5K => (&[0, 2], 0.003),
        BlockType::Q6K => (&[208], 0.001),
    };
    for &at in halves {
        let scale = match random.below(8) {
            0 => half::f16::from_bits(random.below(0x400) as u16),
            _ => half::f16::from_f32(random.values(1)[0] * size),
        };
        block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
    }
    block
}
