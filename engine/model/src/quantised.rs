//! Block types of GGUF files: how many values a block holds, in how many bytes, and what they are.
//!
//! A value is `d * sc * u - m` with small whole numbers `sc` and `u` and with `d` in f16: the product fits the 24 bits of an
//! f32, so there is one rounding at most, whatever the order. The layouts follow `ggml-quants.c` of ggml.

use half::f16;

/// A block type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockType {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// Values that share a scale and an offset, in every type.
pub const GROUP: usize = 16;

/// The values of one block before they are multiplied: `scale * code - offset`, with [`Scales::of`].
/// Only the first [`BlockType::block_len`] codes count.
pub struct Codes {
    /// without sign
    pub codes: [u8; 256],
    pub scales: Scales,
}

/// What the codes of a block are multiplied by, as it is stored.
pub enum Scales {
    /// one `d` for all, and `d * centre` as offset
    Centred { d: u16, centre: u8 },
    /// f16 bits of `d` and of the offset's negative, `m`
    Affine { d: u16, m: u16 },
    /// f16 bits of `d` and `dmin`; of each 32 values a scale and a minimum
    SuperAffine { d: u16, dmin: u16, scales: [u8; 8], mins: [u8; 8] },
    /// f16 bits of `d`; a signed scale of each 16 values; codes are centred at 32
    SuperCentred { d: u16, scales: [i8; 16] },
}

impl BlockType {
    pub const ALL: [Self; 8] =
        [Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0, Self::Q4K, Self::Q5K, Self::Q6K];

    /// The type of this number in `ggml.h`; `None` for one that is none of these.
    pub fn from_ggml(number: u32) -> Option<Self> {
        Some(match number {
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            _ => return None,
        })
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Values of a block; a row has a whole number of blocks.
    pub const fn block_len(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bits of a code: 4, 5, 6 or 8.
    pub const fn code_bits(self) -> u32 {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => 4,
            Self::Q5_0 | Self::Q5_1 | Self::Q5K => 5,
            Self::Q6K => 6,
            Self::Q8_0 => 8,
        }
    }

    /// Takes a block apart.
    ///
    /// # Panics
    /// If `block` does not have [`Self::block_bytes`].
    pub fn unpack(self, block: &[u8]) -> Codes {
        assert_eq!(block.len(), self.block_bytes());
        let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let mut codes = [0; 256];
        let scales = match self {
            Self::Q4_0 => {
                nibbles(&block[2..], &mut codes);
                Scales::Centred { d: half(0), centre: 8 }
            }
            Self::Q4_1 => {
                nibbles(&block[4..], &mut codes);
                Scales::Affine { d: half(0), m: half(2) }
            }
            Self::Q5_0 => {
                nibbles(&block[6..], &mut codes);
                fifth_bits(&block[2..6], &mut codes);
                Scales::Centred { d: half(0), centre: 16 }
            }
            Self::Q5_1 => {
                nibbles(&block[8..], &mut codes);
                fifth_bits(&block[4..8], &mut codes);
                Scales::Affine { d: half(0), m: half(2) }
            }
            Self::Q8_0 => {
                for (code, &byte) in codes.iter_mut().zip(&block[2..]) {
                    *code = byte.wrapping_add(128);
                }
                Scales::Centred { d: half(0), centre: 128 }
            }
            Self::Q4K => {
                for (low, codes) in block[16..].chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
                    nibbles(low, codes);
                }
                super_affine(half(0), half(2), &block[4..16])
            }
            Self::Q5K => {
                let high = &block[16..48];
                for (j, (low, codes)) in block[48..].chunks_exact(32).zip(codes.chunks_exact_mut(64)).enumerate() {
                    nibbles(low, codes);
                    for (i, code) in codes.iter_mut().enumerate() {
                        *code |= (high[i % 32] >> (2 * j + i / 32) & 1) << 4;
                    }
                }
                super_affine(half(0), half(2), &block[4..16])
            }
            Self::Q6K => {
                let (low, high) = block[..192].split_at(128);
                for (i, code) in codes.iter_mut().enumerate() {
                    // Halves of 128 values, each four times 32.
                    let (half, quarter, at) = (i / 128, i % 128 / 32, i % 32);
                    let low = low[64 * half + 32 * (quarter % 2) + at] >> (4 * (quarter / 2)) & 15;
                    *code = low | (high[32 * half + at] >> (2 * quarter) & 3) << 4;
                }
                let mut scales = [0; 16];
                for (scale, &byte) in scales.iter_mut().zip(&block[192..208]) {
                    *scale = byte.cast_signed();
                }
                Scales::SuperCentred { d: half(208), scales }
            }
        };
        Codes { codes, scales }
    }

    /// Appends the values of whole blocks.
    ///
    /// # Panics
    /// If `blocks` does not hold whole blocks.
    pub fn dequantise(self, blocks: &[u8], out: &mut Vec<f32>) {
        assert!(blocks.len().is_multiple_of(self.block_bytes()), "{} bytes of {}", blocks.len(), self.name());
        out.reserve(blocks.len() / self.block_bytes() * self.block_len());
        for block in blocks.chunks_exact(self.block_bytes()) {
            let unpacked = self.unpack(block);
            for (group, codes) in unpacked.codes[..self.block_len()].chunks_exact(GROUP).enumerate() {
                let (scale, offset) = unpacked.scales.of(group);
                out.extend(codes.iter().map(|&code| scale * f32::from(code) - offset));
            }
        }
    }
}

/// How values are rounded to blocks of 32 where a model's are not in blocks yet: Q8_0 and Q4_0, as
/// `quantize_row_q8_0_ref` and `quantize_row_q4_0_ref` of ggml have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `d` is the largest magnitude / 127
    Q8,
    /// `d` is the value of the largest magnitude / -8
    Q4,
}

/// A finite value whose block needs a scale beyond f16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooLarge(pub f32);

impl Rounding {
    pub const fn block_type(self) -> BlockType {
        match self {
            Self::Q8 => BlockType::Q8_0,
            Self::Q4 => BlockType::Q4_0,
        }
    }

    /// Appends `values`, a multiple of 32, as blocks.
    ///
    /// # Errors
    /// [`TooLarge`] where a scale would be infinite. A block with a value that is no number has that for a scale.
    ///
    /// # Panics
    /// If there are not whole blocks of values.
    pub fn append(self, values: &[f32], out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let (blocks, rest) = values.as_chunks::<32>();
        assert!(rest.is_empty(), "{} values", values.len());
        for block in blocks {
            // The first of the largest; a value that is no number wins over all.
            let larger = |best: f32, &v: &f32| if v.abs() > best.abs() || v.is_nan() { v } else { best };
            let largest = block.iter().fold(0.0, larger);
            let d = match self {
                Self::Q8 => largest.abs() / 127.0,
                Self::Q4 => largest / -8.0,
            };
            let stored = f16::from_f32(d);
            if stored.is_infinite() {
                return Err(TooLarge(largest));
            }
            out.extend(stored.to_le_bytes());
            let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
            match self {
                Self::Q8 => out.extend(block.iter().map(|v| ((v * inverse).round() as i8).cast_unsigned())),
                Self::Q4 => {
                    let code = |v: f32| ((v * inverse + 8.5) as u8).min(15);
                    let (low, high) = block.split_at(16);
                    out.extend(low.iter().zip(high).map(|(&low, &high)| code(low) | code(high) << 4));
                }
            }
        }
        Ok(())
    }
}

impl Scales {
    /// Scale and offset of one group of [`GROUP`] values.
    pub fn of(&self, group: usize) -> (f32, f32) {
        let wide = |bits| f16::from_bits(bits).to_f32();
        match self {
            &Self::Centred { d, centre } => (wide(d), wide(d) * f32::from(centre)),
            &Self::Affine { d, m } => (wide(d), -wide(m)),
            Self::SuperAffine { d, dmin, scales, mins } => {
                (wide(*d) * f32::from(scales[group / 2]), wide(*dmin) * f32::from(mins[group / 2]))
            }
            Self::SuperCentred { d, scales } => {
                let scale = wide(*d) * f32::from(scales[group]);
                (scale, scale * 32.0)
            }
        }
    }
}

/// The low halves of the bytes, then the high ones, into twice as many codes.
fn nibbles(bytes: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
}

/// Bit i of `bits` is the fifth of code i.
fn fifth_bits(bits: &[u8], codes: &mut [u8; 256]) {
    for (i, code) in codes[..32].iter_mut().enumerate() {
        *code |= (bits[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// Eight scales and eight minima of 6 bits in 12 bytes (`get_scale_min_k4`).
fn super_affine(d: u16, dmin: u16, packed: &[u8]) -> Scales {
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    for j in 0..4 {
        scales[j] = packed[j] & 63;
        mins[j] = packed[j + 4] & 63;
        scales[j + 4] = packed[j + 8] & 15 | packed[j] >> 6 << 4;
        mins[j + 4] = packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4;
    }
    Scales::SuperAffine { d, dmin, scales, mins }
}
