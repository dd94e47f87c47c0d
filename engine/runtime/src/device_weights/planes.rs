//! Rows in blocks as the kernels read them: codes, the bits above their low four, and scales, each in a plane of its own
//! (see `shaders/kernels/lib/weights.wesl`). Plain code without a device.

use half::f16;
use understory_model::quantised::{BlockType, Codes, Scales};

/// What an f16 scale is multiplied by to be stored, so that none is subnormal: the inverse of `HALF_FACTOR` in
/// `lib/weights.wesl`. Scales of models are far below the largest that it leaves, 63.9.
const HALF_FACTOR: f32 = 1024.0;
/// Columns of a word of codes, of a group with one scale, and of a super-group.
const WORD: usize = 8;
const GROUP: usize = 32;
const SUPER_GROUP: usize = 256;

/// Four rows of one block type, taken together.
type Four<T> = [T; 4];
/// A `vec4<u32>` of the planes: one component a row.
type Word = Four<u32>;

/// Where the planes after the first begin in a part, in words of 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneOffsets {
    pub high: u32,
    pub scales: u32,
}

/// A scale that f16 cannot hold once it is multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleTooLarge(pub f32);

/// The planes of blocks of four rows, one after the other.
#[derive(Debug, Default)]
pub struct Planes {
    pub codes: Vec<Word>,
    pub high: Vec<Word>,
    pub scales: Vec<Word>,
}

impl Planes {
    /// Words in each plane of a block of four rows of `cols` columns: codes, high bits, scales.
    pub fn words(block_type: BlockType, cols: usize) -> [usize; 3] {
        let words = cols / WORD;
        let (codes, high) = match block_type.code_bits() {
            8 => (2 * words, 0),
            6 => (words, words / 2),
            5 => (words, words / 4),
            _ => (words, 0),
        };
        let groups = cols / GROUP;
        let scales = match block_type {
            BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => groups.div_ceil(2),
            BlockType::Q4_1 | BlockType::Q5_1 => groups,
            BlockType::Q4K | BlockType::Q5K => cols / SUPER_GROUP * 6,
            BlockType::Q6K => cols / SUPER_GROUP * 5,
        };
        [codes, high, scales]
    }

    pub fn clear(&mut self) {
        self.codes.clear();
        self.high.clear();
        self.scales.clear();
    }

    /// Appends a block of four rows, each the bytes of its blocks; a row that is `None` is padding.
    ///
    /// # Errors
    /// [`ScaleTooLarge`].
    pub fn push(&mut self, block_type: BlockType, cols: usize, rows: Four<Option<&[u8]>>) -> Result<(), ScaleTooLarge> {
        let nothing = vec![0; block_type.block_bytes()];
        let scales_before = self.scales.len();
        for at in 0..cols / block_type.block_len() {
            let blocks: Four<Codes> = rows.map(|row| {
                let block = row.map_or(&nothing[..], |row| &row[at * block_type.block_bytes()..][..nothing.len()]);
                block_type.unpack(block)
            });
            for first in (0..block_type.block_len()).step_by(GROUP) {
                self.push_group(block_type.code_bits(), blocks.each_ref().map(|block| &block.codes[first..][..GROUP]));
            }
            self.push_scales(at, blocks.each_ref().map(|block| &block.scales))?;
        }
        debug_assert_eq!(self.scales.len() - scales_before, Self::words(block_type, cols)[2]);
        Ok(())
    }

    fn push_group(&mut self, bits: u32, rows: Four<&[u8]>) {
        let per_word = if bits == 8 { 4 } else { WORD };
        for first in (0..GROUP).step_by(per_word) {
            self.codes.push(rows.map(|row| {
                let codes = row[first..][..per_word].iter().rev();
                match bits {
                    8 => codes.fold(0, |word, &code| word << 8 | u32::from(code)),
                    _ => codes.fold(0, |word, &code| word << 4 | u32::from(code & 15)),
                }
            }));
        }
        let above = |row: &[u8], word: usize, bits: u32| {
            let codes = row[word * WORD..][..WORD].iter().rev();
            codes.fold(0, |all, &code| all << bits | u32::from(code >> 4))
        };
        match bits {
            5 => self.high.push([0, 1, 2, 3].map(|word| {
                rows.iter().rev().fold(0, |all, row| all << 8 | above(row, word, 1))
            })),
            6 => {
                for word in [0, 2] {
                    let pair = |word, first: usize| above(rows[first], word, 2) | above(rows[first + 1], word, 2) << 16;
                    self.high.push([pair(word, 0), pair(word, 2), pair(word + 1, 0), pair(word + 1, 2)]);
                }
            }
            _ => {}
        }
    }

    /// The scales of block number `at` of each row.
    fn push_scales(&mut self, at: usize, rows: Four<&Scales>) -> Result<(), ScaleTooLarge> {
        match rows[0] {
            Scales::Centred { .. } => {
                let d = each(rows, |scales| match scales {
                    Scales::Centred { d, .. } => stored(*d),
                    _ => unreachable!("rows of one type"),
                })?;
                match self.scales.last_mut() {
                    Some(word) if at % 2 == 1 => (0..4).for_each(|row| word[row] |= d[row] << 16),
                    _ => self.scales.push(d),
                }
            }
            Scales::Affine { .. } => {
                let both = each(rows, |scales| match scales {
                    Scales::Affine { d, m } => Ok(stored(*d)? | stored(*m)? << 16),
                    _ => unreachable!("rows of one type"),
                })?;
                self.scales.push(both);
            }
            Scales::SuperAffine { .. } => {
                let rows = rows.map(|scales| match scales {
                    Scales::SuperAffine { d, dmin, scales, mins } => (d, dmin, scales, mins),
                    _ => unreachable!("rows of one type"),
                });
                self.scales.push(rows.map(|(d, ..)| single(*d)));
                self.scales.push(rows.map(|(_, dmin, ..)| single(*dmin)));
                for j in [0, 2, 4, 6] {
                    let bytes = |(_, _, s, m): (_, _, &[u8; 8], &[u8; 8])| [s[j], s[j + 1], m[j], m[j + 1]];
                    self.scales.push(rows.map(|row| u32::from_le_bytes(bytes(row))));
                }
            }
            Scales::SuperCentred { .. } => {
                let rows = rows.map(|scales| match scales {
                    Scales::SuperCentred { d, scales } => (d, scales),
                    _ => unreachable!("rows of one type"),
                });
                self.scales.push(rows.map(|(d, _)| single(*d)));
                for j in [0, 4, 8, 12] {
                    let bytes = |s: &[i8; 16]| [s[j], s[j + 1], s[j + 2], s[j + 3]].map(i8::cast_unsigned);
                    self.scales.push(rows.map(|(_, scales)| u32::from_le_bytes(bytes(scales))));
                }
            }
        }
        Ok(())
    }
}

fn each(rows: Four<&Scales>, word: impl Fn(&Scales) -> Result<u32, ScaleTooLarge>) -> Result<Word, ScaleTooLarge> {
    Ok([word(rows[0])?, word(rows[1])?, word(rows[2])?, word(rows[3])?])
}

/// An f16 scale times [`HALF_FACTOR`], in f16.
fn stored(bits: u16) -> Result<u32, ScaleTooLarge> {
    let scale = f16::from_bits(bits);
    let larger = f16::from_f32(scale.to_f32() * HALF_FACTOR);
    match larger.is_infinite() && scale.is_finite() {
        true => Err(ScaleTooLarge(scale.to_f32())),
        false => Ok(u32::from(larger.to_bits())),
    }
}

/// An f16 scale in f32.
fn single(bits: u16) -> u32 {
    f16::from_bits(bits).to_f32().to_bits()
}
