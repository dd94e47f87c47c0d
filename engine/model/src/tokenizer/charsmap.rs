//! The table of a `Precompiled` normalizer, as SentencePiece makes it: a trie in two arrays (darts-clone) over UTF-8, and
//! the texts that it points at. The library follows its indices without looking; here every place that a text can reach is
//! visited first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokenizers::normalizers::Precompiled;

use super::limits::{MAX_CHARSMAP_BYTES, MAX_REPLACEMENT_BYTES, at_most};

/// # Errors
/// What is wrong with the table.
pub(super) fn read(base64: &str) -> Result<Precompiled, String> {
    at_most("the length of precompiled_charsmap", base64.len(), MAX_CHARSMAP_BYTES / 3 * 4)?;
    let bytes = STANDARD.decode(base64).map_err(|_| "precompiled_charsmap is not base64".to_owned())?;
    check(&bytes).ok_or("precompiled_charsmap points outside of itself")?;
    Precompiled::from(&bytes).map_err(|error| error.to_string())
}

/// A unit of the trie, as the library reads it.
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn has_leaf(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    fn label(self) -> u32 {
        self.0 & 0x8000_00ff
    }

    fn offset(self) -> usize {
        ((self.0 >> 10) as usize) << ((self.0 & 1 << 9) >> 6)
    }
}

/// `None`: some text leads out of the table, or to a replacement that is none.
fn check(bytes: &[u8]) -> Option<()> {
    let (size, rest) = bytes.split_first_chunk()?;
    let (units, texts) = rest.split_at_checked(u32::from_le_bytes(*size) as usize / 4 * 4)?;
    let units: Vec<Unit> = units.as_chunks().0.iter().map(|unit| Unit(u32::from_le_bytes(*unit))).collect();
    let texts = std::str::from_utf8(texts).ok()?;
    // Positions from which a next byte is looked for.
    let mut waiting = vec![units.first()?.offset()];
    let mut seen = vec![false; units.len()];
    while let Some(position) = waiting.pop() {
        for byte in 1..=u32::from(u8::MAX) {
            let place = position ^ byte as usize;
            let unit = *units.get(place)?;
            if unit.label() != byte || std::mem::replace(&mut seen[place], true) {
                continue;
            }
            let next = place ^ unit.offset();
            if unit.has_leaf() {
                let replacement = texts.get(units.get(next)?.value()..)?;
                let len = replacement.find('\0').unwrap_or(replacement.len());
                if len > MAX_REPLACEMENT_BYTES {
                    return None;
                }
            }
            waiting.push(next);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that replaces `a` by `text`: the unit of `a` leads 256 units on, where the value lies.
    fn table(value: u32, text: &str) -> Vec<u8> {
        let mut units = vec![0u32; 512];
        units[usize::from(b'a')] = 1 << 18 | 1 << 8 | u32::from(b'a');
        units[256 ^ usize::from(b'a')] = value;
        let bytes = units.iter().flat_map(|unit| unit.to_le_bytes());
        (4 * 512u32).to_le_bytes().into_iter().chain(bytes).chain(text.bytes()).collect()
    }

    /// Looking at the sizes alone takes each of the refused.
    #[test]
    fn every_place_that_a_text_reaches_is_in_the_table() {
        let good = table(0, "A\0");
        assert_eq!(read(&STANDARD.encode(&good)).unwrap().transform("a"), Some("A"));
        for (value, text) in [(3, "A\0"), (1, "é"), (0x7fff_ffff, "A"), (0, &*"x".repeat(100))] {
            assert!(read(&STANDARD.encode(table(value, text))).is_err(), "{value} {text}");
        }
        let mut outside = good.clone();
        outside[4 + 4 * usize::from(b'a') + 3] = 0x3f;
        assert!(read(&STANDARD.encode(&outside)).is_err());
        assert!(read(&STANDARD.encode(&good[..1000])).is_err());
        for bytes in [&[][..], &[0; 4], &[255; 4], &[8, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]] {
            assert!(read(&STANDARD.encode(bytes)).is_err(), "{bytes:?}");
        }
        assert!(read("not base64!").is_err());
    }
}
