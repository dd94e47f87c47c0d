//! The device's state as the host sees it; mirrors `shaders/kernels/lib/state.wesl`, which says what the words mean.

pub const N_ROWS: usize = 0;
pub const BASE: usize = 1;
pub const N_CHOSEN: usize = 2;
pub const FLAGS: usize = 3;
pub const ROW0: usize = 4;
pub const LIMIT: usize = 5;
pub const N_NODES: usize = 6;
pub const DRAFT_LEN: usize = 7;
pub const DRAFT_ROWS: usize = 8;
pub const N_CATCH: usize = 9;
pub const N_ACCEPTED: usize = 10;
pub const N_EMITTED: usize = 11;
pub const MATCH: usize = 12;
pub const REC_NODES: usize = 13;
pub const REC_MATCH: usize = 14;
pub const REC_BASE: usize = 15;
pub const N_LOOKUP: usize = 16;
pub const N_GROWN: usize = 17;
pub const REC_GROWN: usize = 18;

pub const RING_AT: usize = 32;
/// Slots of the output ring.
pub const RING: usize = 64;
pub const REC_TOKEN: usize = 96;
pub const REC_INFO: usize = 160;
pub const REC_LOGP: usize = 224;
pub const PATH: usize = 288;
/// Words that the host reads after a round.
pub const HEAD_WORDS: usize = 352;

/// Rows of the tree's tables.
pub const TREE_ROWS: usize = 80;
pub const TOKEN: usize = 352;
pub const PARENT: usize = 432;
pub const DEPTH: usize = 512;
pub const LOGP: usize = 592;
pub const ORIGIN: usize = 672;
pub const DRAFT_ROW: usize = 752;
pub const ANCESTORS: usize = 832;
pub const ANCESTOR_WORDS: usize = 20;
pub const STATE_WORDS: usize = 2432;

pub const FLAG_NAN: u32 = 1;
pub const ORIGIN_LOOKUP: u32 = 128;
pub const NO_ROW: u32 = u32::MAX;
/// In the ring where the logits were NaN.
pub const NO_TOKEN: u32 = u32::MAX;
/// Keys of one split of attention.
pub const SPLIT: u32 = 256;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    /// Swapping two words here, or changing one there, fails.
    #[test]
    fn the_layout_is_that_of_the_kernels() {
        let constants = |source: &str, marker: &str| -> HashMap<String, u32> {
            let parse = |line: &str| {
                let (name, rest) = line.trim().strip_prefix(marker)?.split_once(": u")?;
                let value = rest.split_once("= ")?.1.trim_end_matches([';', 'u']);
                let value = match value.strip_prefix("0x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None if value == "u32::MAX" => u32::MAX,
                    None => value.parse().ok()?,
                };
                Some((name.to_string(), value))
            };
            source.lines().filter_map(parse).collect()
        };
        let theirs = constants(include_str!("../../../../shaders/kernels/lib/state.wesl"), "const ");
        let ours = constants(include_str!("state.rs"), "pub const ");
        assert_eq!(ours.len(), 41, "every constant was read");
        for (name, value) in ours {
            assert_eq!(theirs.get(&name), Some(&value), "{name}");
        }
    }
}
