//! Fingerprints that say whether two measurements were of the same thing: FNV-1a, 64 bits, as hex. They find
//! differences and mistakes; they are no protection against somebody who wants to deceive.

/// Takes bytes in any number of pieces.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    /// 16 hexadecimal digits.
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Of a text as UTF-8, such as a prompt.
pub fn of_text(text: &str) -> String {
    let mut hash = Fingerprint::default();
    hash.push(text.as_bytes());
    hash.hex()
}

/// Of token ids, such as a prompt's or an output's: little-endian words.
pub fn of_tokens(tokens: &[u32]) -> String {
    let mut hash = Fingerprint::default();
    for token in tokens {
        hash.push(&token.to_le_bytes());
    }
    hash.hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values published with the algorithm (Fowler, Noll, Vo: test vectors of FNV-1a, 64 bits). FNV-1, which multiplies
    /// before it mixes, fails the last two.
    #[test]
    fn fingerprints_are_the_published_ones() {
        for (text, want) in [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")] {
            assert_eq!(of_text(text), want);
        }
        assert_eq!(of_tokens(&[0x6f6f_6266]), of_text("fboo"));
    }
}
