//! f16 to f32 and back for whole slices, without a branch: compilers make vector instructions of it everywhere, in
//! WebAssembly too, where there is no instruction for it.

/// 2^112: from f16's exponents to f32's.
const RESCALE: f32 = f32::from_bits((127 + 112) << 23);
/// f32's bits of infinity.
const INFINITY: u32 = 0xff << 23;
/// Adding this float leaves a subnormal f16's bits in the lowest places, rounded to even.
const SUBNORMAL: u32 = (127 - 15 + 23 - 10 + 1) << 23;

/// The values of `halves` (bits of f16).
///
/// # Panics
/// Where the lengths differ.
pub fn widen(halves: &[u16], values: &mut [f32]) {
    assert_eq!(halves.len(), values.len());
    for (value, &half) in values.iter_mut().zip(halves) {
        let half = u32::from(half);
        let magnitude = (half & 0x7fff) << 13;
        // Subnormal ones are subnormal in f32 too until they are scaled.
        let scaled = (f32::from_bits(magnitude) * RESCALE).to_bits();
        let beyond = if magnitude >= 0x1f << 23 { INFINITY } else { 0 };
        *value = f32::from_bits(scaled | beyond | (half & 0x8000) << 16);
    }
}

/// The bits of `values` as f16, rounded to nearest, ties to even; too large ones become infinite.
///
/// # Panics
/// Where the lengths differ.
pub fn narrow(values: &[f32], halves: &mut [u16]) {
    assert_eq!(values.len(), halves.len());
    for (half, &value) in halves.iter_mut().zip(values) {
        let bits = value.to_bits();
        let magnitude = bits & 0x7fff_ffff;
        let rounded = magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1));
        let normal = rounded.wrapping_sub(112 << 23) >> 13;
        let subnormal = (f32::from_bits(magnitude) + f32::from_bits(SUBNORMAL)).to_bits().wrapping_sub(SUBNORMAL);
        let finite = if magnitude < 113 << 23 { subnormal } else { normal };
        let beyond = if magnitude > INFINITY { 0x7e00 | (magnitude >> 13 & 0x3ff) } else { 0x7c00 };
        // From half a step above the largest f16 on.
        let narrowed = if magnitude >= 0x477f_f000 { beyond } else { finite };
        *half = (narrowed | bits >> 16 & 0x8000) as u16;
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// Seen to fail: ties rounded up, subnormal results cut off, and 65520 left finite.
    #[test]
    fn floats_are_narrowed_as_the_half_crate_does() {
        // Every exponent, with mantissas around every tie, and each half's neighbours.
        let mantissas = (0..1 << 10).flat_map(|m| [0, 1, 0xfff, 0x1000, 0x1001].map(|low| m << 13 | low));
        let values: Vec<f32> = mantissas
            .flat_map(|m| (0..256).flat_map(move |e| [0, 1 << 31].map(|sign| f32::from_bits(sign | e << 23 | m))))
            .collect();
        let mut halves = vec![0; values.len()];
        narrow(&values, &mut halves);
        for (&value, &half) in values.iter().zip(&halves) {
            let expected = f16::from_f32(value);
            assert_eq!(half, expected.to_bits(), "{value:e} ({:#010x})", value.to_bits());
        }
    }
}
