//! Stored elements to f32.

use half::bf16;
use half::slice::HalfFloatSliceExt;

use crate::halves::widen;
use crate::stored::StoredType;

/// Elements at a time: the buffer for aligned copies stays in the first cache.
const BLOCK: usize = 2048;

/// Appends the elements of `bytes` (little-endian, no alignment needed, whole blocks) to `out`.
pub(crate) fn append(bytes: &[u8], stored: StoredType, out: &mut Vec<f32>) {
    match stored {
        StoredType::F32 => {
            let (elements, _) = bytes.as_chunks();
            out.extend(elements.iter().map(|&element| f32::from_le_bytes(element)));
        }
        StoredType::F16 => append_half(bytes, out, |bits| bits, widen),
        StoredType::Bf16 => append_half(bytes, out, bf16::from_bits, |from, to| from.convert_to_f32_slice(to)),
        StoredType::Blocks(block) => block.dequantise(bytes, out),
    }
}

fn append_half<H: Copy>(bytes: &[u8], out: &mut Vec<f32>, from_bits: fn(u16) -> H, convert: fn(&[H], &mut [f32])) {
    let (elements, _) = bytes.as_chunks();
    let mut aligned = [from_bits(0); BLOCK];
    for block in elements.chunks(BLOCK) {
        let aligned = &mut aligned[..block.len()];
        for (to, &element) in aligned.iter_mut().zip(block) {
            *to = from_bits(u16::from_le_bytes(element));
        }
        let start = out.len();
        out.resize(start + block.len(), 0.0);
        convert(aligned, &mut out[start..]);
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// Against the scalar conversions of `half`, over every bit pattern and an odd offset into the bytes.
    #[test]
    fn every_half_converts() {
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        let mut bytes = vec![0u8];
        bytes.extend(bits.iter().flat_map(|b| b.to_le_bytes()));
        for dtype in [StoredType::F16, StoredType::Bf16] {
            let scalar = |bits| match dtype {
                StoredType::F16 => f16::from_bits(bits).to_f32(),
                _ => bf16::from_bits(bits).to_f32(),
            };
            let mut out = Vec::new();
            append(&bytes[1..], dtype, &mut out);
            assert_eq!(out.len(), bits.len());
            for (&bits, &value) in bits.iter().zip(&out) {
                let expected = scalar(bits);
                assert!(value == expected || (value.is_nan() && expected.is_nan()), "{bits:#x}: {value} != {expected}");
            }
        }
    }
}
