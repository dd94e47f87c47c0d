//! Values of blocks, against those of ggml's own Python package.

use understory_model::quantised::BlockType;

/// Random blocks of each type in the order of [`BlockType::ALL`], eight each, and their values as f32 by
/// `gguf.quants.dequantize` of the Python package gguf 0.17.1. Scales include zero's neighbours, subnormal and largest halves.
const BLOCKS: &[u8] = include_bytes!("ggml_blocks.bin");
const N_BLOCKS: usize = 8;

/// Bit for bit; zeros may differ in sign.
#[test]
fn values_are_those_of_ggml() {
    let mut rest = BLOCKS;
    for block_type in BlockType::ALL {
        let blocks = rest.split_off(..N_BLOCKS * block_type.block_bytes()).expect("blocks");
        let values = rest.split_off(..N_BLOCKS * block_type.block_len() * 4).expect("values");
        let (values, _) = values.as_chunks();
        let mut actual = Vec::new();
        block_type.dequantise(blocks, &mut actual);
        assert_eq!(actual.len(), values.len());
        for (i, (actual, &expected)) in actual.iter().zip(values).enumerate() {
            assert_eq!(*actual, f32::from_le_bytes(expected), "{}, value {i}", block_type.name());
        }
    }
    assert!(rest.is_empty());
}
