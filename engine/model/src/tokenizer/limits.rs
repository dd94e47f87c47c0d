//! How large the parts of a tokenizer may be. Each limit is far above what published tokenizers have, and keeps the time and
//! the memory that a file can cost in proportion to its size and to the text's.

/// Token ids are below this.
pub(super) const MAX_ID: u32 = 1 << 24;
/// Components of one kind (normalizers, pre-tokenizers, ...), and how deeply lists of them nest.
pub(super) const MAX_COMPONENTS: usize = 64;
pub(super) const MAX_DEPTH: usize = 8;
/// Each of these pre-tokenizers may double a text.
pub(super) const MAX_BYTE_LEVELS: usize = 3;
/// Bytes of a text that is put before, after or in place of another.
pub(super) const MAX_AFFIX_BYTES: usize = 64;
/// Bytes of a pattern.
pub(super) const MAX_PATTERN_BYTES: usize = 8 << 10;
/// Bytes of a table of character replacements (XLM-RoBERTa's has 0.3 MB), and of one replacement (Unicode's longest has 33).
pub(super) const MAX_CHARSMAP_BYTES: usize = 4 << 20;
pub(super) const MAX_REPLACEMENT_BYTES: usize = 64;
/// Bytes of one piece of a Unigram vocabulary and of all. The library's tree has a table per byte and is taken down
/// recursively.
pub(super) const MAX_UNIGRAM_PIECE: usize = 1 << 10;
pub(super) const MAX_UNIGRAM_BYTES: usize = 8 << 20;
/// Bytes of all pieces that one text may begin with: what the library copies at each character.
pub(super) const MAX_UNIGRAM_CHAIN: usize = 16 << 10;
/// Characters of a word that WordPiece splits; its time grows with the cube. 100 is usual.
pub(super) const MAX_WORD_CHARS: usize = 1000;
/// Bytes of all added tokens.
pub(super) const MAX_ADDED_BYTES: usize = 4 << 20;
/// Parts of a template around a text, and tokens that it adds.
pub(super) const MAX_TEMPLATE_PARTS: usize = 64;
/// A normalizer, or a decoder, makes at most so many bytes of each byte, and so many more.
pub(super) const MAX_GROWTH: usize = 100;
pub(super) const MAX_MORE_BYTES: usize = 64 << 10;

/// # Errors
/// What is too large.
pub(super) fn at_most(what: &str, size: usize, max: usize) -> Result<(), String> {
    if size <= max { Ok(()) } else { Err(format!("{what} is {size}; at most {max} is expected")) }
}

/// Whether a text of `from` bytes may have become one of `to`.
pub(super) fn grew_too_much(from: usize, to: usize) -> bool {
    to > from.saturating_mul(MAX_GROWTH).saturating_add(MAX_MORE_BYTES)
}
