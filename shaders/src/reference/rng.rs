//! `lib/rng.wesl`: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and the
//! Gumbel noise of a (seed, position, token).

pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let p0 = 0xd251_1f53u64 * u64::from(c[0]);
        let p1 = 0xcd9e_8d57u64 * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
    }
    c
}

/// `-ln(-ln(1 - w))` with w uniform on the 2^23 midpoints of (0, 1).
pub fn gumbel(bits: u32) -> f64 {
    let w = (f64::from(bits >> 9) + 0.5) / f64::from(1u32 << 23);
    -(-(-w).ln_1p()).ln()
}

/// The noise of `token` at `position`: one call of the generator serves four tokens.
pub fn noise(seed: u64, position: u32, token: u32) -> f64 {
    let bits = philox([token / 4, position, 0, 0], [seed as u32, (seed >> 32) as u32]);
    gumbel(bits[token as usize % 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors that Random123 publishes (`kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        let all = u32::MAX;
        let cases = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([all; 4], [all; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, want) in cases {
            assert_eq!(philox(counter, key), want);
        }
    }

    /// Mean (Euler's constant) and variance (pi^2 / 6) of the Gumbel distribution; both ends are finite.
    #[test]
    fn gumbel_has_the_moments_of_its_distribution() {
        let n = 1 << 16;
        let values: Vec<f64> = (0..n).map(|i| noise(7, i / 64, i % 64)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / f64::from(n);
        // Five standard errors of each.
        assert!((mean - 0.577_215_665).abs() < 0.025, "{mean}");
        assert!((variance - std::f64::consts::PI.powi(2) / 6.0).abs() < 0.067, "{variance}");
        assert!(gumbel(0).is_finite() && gumbel(u32::MAX).is_finite() && gumbel(0) > gumbel(u32::MAX));
    }
}
