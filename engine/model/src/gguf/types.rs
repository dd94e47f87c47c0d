//! The tensor types of `ggml.h` by their numbers.

use crate::quantised::BlockType;
use crate::stored::StoredType;

/// The types that are read, for errors.
pub(crate) const KNOWN: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K";

/// Every name; empty where a number was given up.
const NAMES: [&str; 41] = [
    "F32",
    "F16",
    "Q4_0",
    "Q4_1",
    "Q4_2",
    "Q4_3",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q8_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "Q8_K",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ3_XXS",
    "IQ1_S",
    "IQ4_NL",
    "IQ3_S",
    "IQ2_S",
    "IQ4_XS",
    "I8",
    "I16",
    "I32",
    "I64",
    "F64",
    "IQ1_M",
    "BF16",
    "Q4_0_4_4",
    "Q4_0_4_8",
    "Q4_0_8_8",
    "TQ1_0",
    "TQ2_0",
    "IQ4_NL_4_4",
    "IQ4_NL_4_8",
    "IQ4_NL_8_8",
    "MXFP4",
    "NVFP4",
];

/// The name of a type; its number where it has none that is known.
pub(super) fn name(number: u32) -> String {
    let known = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
    known.map_or_else(|| format!("type {number}"), |name| (*name).into())
}

/// `None`: a type that is not read.
pub(super) fn stored(number: u32) -> Option<StoredType> {
    match number {
        0 => Some(StoredType::F32),
        1 => Some(StoredType::F16),
        30 => Some(StoredType::Bf16),
        _ => BlockType::from_ggml(number).map(StoredType::Blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name left out of the table shifts all that follow.
    #[test]
    fn the_types_that_are_read_have_their_names() {
        let read: Vec<&str> = (0..100).filter_map(stored).map(StoredType::name).collect();
        let mut known: Vec<&str> = KNOWN.split(", ").collect();
        known.sort_unstable();
        assert_eq!(
            {
                let mut read = read.clone();
                read.sort_unstable();
                read
            },
            known
        );
        for number in 0..100 {
            if let Some(stored) = stored(number) {
                assert_eq!(name(number), stored.name());
            }
        }
        assert_eq!(
            (name(16), name(24), name(29), name(34), name(39), name(99)),
            ("IQ2_XXS".into(), "I8".into(), "IQ1_M".into(), "TQ1_0".into(), "MXFP4".into(), "type 99".into())
        );
    }
}
