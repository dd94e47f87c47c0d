//! Single tokens as text, for people who look at trees and differences.

use std::collections::BTreeMap;

use understory_model::tokenizer::{Tokenizer, shown_bytes};

/// The texts of `ids`.
pub fn texts(tokenizer: &Tokenizer, ids: impl IntoIterator<Item = u32>) -> BTreeMap<u32, String> {
    ids.into_iter().map(|id| (id, tokenizer.shown(id))).collect()
}

/// `" king"`, `"\n"`: quoted, with what does not show escaped.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Texts of tokens in a row as one; `<0xC3>`, a byte that is part of a character, becomes that with the bytes beside it.
pub fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let spelled: String = texts.collect();
    let mut bytes = Vec::new();
    let mut rest = spelled.as_str();
    while let Some(at) = rest.find("<0x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let byte = rest.get(at + 3..at + 5).filter(|_| rest.as_bytes().get(at + 5) == Some(&b'>'));
        let byte = byte.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[at + 6..];
            }
            None => {
                bytes.extend_from_slice(b"<0x");
                rest = &rest[at + 3..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    shown_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use understory_model::config::ModelConfig;
    use understory_model::files::StaticFiles;

    use super::*;

    /// Words that begin with U+2581, a special token, half of a character; ids without a token.
    const FILES: StaticFiles = StaticFiles {
        name: "words",
        files: &[
            ("config.json", br#"{ "model_type": "llama", "vocab_size": 9 }"#),
            (
                "tokenizer.json",
                r#"{
                    "version": "1.0",
                    "added_tokens": [{ "id": 0, "content": "</s>", "special": true, "single_word": false,
                        "lstrip": false, "rstrip": false, "normalized": false }],
                    "decoder": { "type": "Sequence", "decoders": [
                        { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                        { "type": "ByteFallback" }, { "type": "Fuse" },
                        { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] },
                    "model": { "type": "BPE", "unk_token": "</s>", "fuse_unk": true, "byte_fallback": true,
                        "vocab": { "</s>": 0, "<0xC3>": 1, "▁": 2, "▁king": 3, "s": 4, "\n": 5, "▁▁": 6 },
                        "merges": [] }
                }"#
                .as_bytes(),
            ),
        ],
    };

    /// Decoding alone loses the space before a word, and shows special tokens and bytes as nothing or as U+FFFD.
    #[test]
    fn a_token_alone_keeps_its_space_and_its_name() {
        let config = ModelConfig::from_files(&FILES).unwrap();
        let tokenizer = Tokenizer::from_files(&FILES, &config).unwrap();
        let expected = ["</s>", "<0xC3>", " ", " king", "s", "\n", "  ", ""];
        for (id, expected) in (0..).zip(expected) {
            assert_eq!(tokenizer.shown(id), expected, "token {id}");
        }
        assert_eq!(quoted(&tokenizer.shown(5)), r#""\n""#);
    }

    #[test]
    fn bytes_in_a_row_become_their_character() {
        let text = joined(["caf", "<0xC3>", "<0xA9>", " <0x", "41", "> <0xé <0xF0>"].into_iter());
        assert_eq!(text, "café A <0xé <0xF0>");
    }
}
