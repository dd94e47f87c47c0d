//! Tokens that spell bytes in GPT-2's alphabet, for people to read.

/// A token spelled in GPT-2's alphabet as [`shown_bytes`]. `None`: spelled otherwise.
pub(super) fn with_bytes(spelled: &str) -> Option<String> {
    let bytes: Vec<u8> = spelled.chars().map(byte_of).collect::<Option<_>>()?;
    Some(shown_bytes(&bytes))
}

/// UTF-8 for people to read, with `<0xE2>` for each byte that is no part of a whole character.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("<0x{byte:02X}>")));
    }
    text
}

/// The byte that GPT-2's alphabet (`bytes_to_unicode` in its encoder.py) writes as `c`: bytes that are visible characters
/// in Latin-1 as these, the others in their order from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(c).checked_sub(0x100) {
        None => u8::try_from(c).ok().filter(visible),
        Some(nth) => (0..=u8::MAX).filter(|byte| !visible(byte)).nth(nth as usize),
    }
}

#[cfg(test)]
mod tests {
    /// "é" is C3 A9, "😂" F0 9F 98 82; 9F and 98 have no character of their own in the alphabet, A9 and F0 have.
    #[test]
    fn parts_of_characters_are_shown_as_bytes() {
        let shown = ["Ġfox", "ĠÃ", "Ã©", "ðŁĺ", "Ċ©"].map(|token| super::with_bytes(token).unwrap());
        assert_eq!(shown, [" fox", " <0xC3>", "é", "<0xF0><0x9F><0x98>", "\n<0xA9>"]);
        assert_eq!(super::with_bytes("a b"), None);
    }
}
