//! Text that somebody else wrote (names of tensors, values of a configuration, tokens, labels of a report), made fit to be
//! shown: on a terminal some characters are commands, and a few others make a line read differently from what it says.

/// The longest that [`shown`] lets a text be, in characters, its `…` included.
pub const MAX_SHOWN_CHARS: usize = 200;

/// `text` on one line of at most [`MAX_SHOWN_CHARS`] characters: cut with `…`, and with `?` for each line break, control
/// character and mark of direction. For what a message quotes.
pub fn shown(text: &str) -> String {
    let replaced = |c| if is_command(c) { '?' } else { c };
    let cut = text.char_indices().nth(MAX_SHOWN_CHARS).is_some();
    let kept = if cut { MAX_SHOWN_CHARS - 1 } else { MAX_SHOWN_CHARS };
    text.chars().take(kept).map(replaced).chain(cut.then_some('…')).collect()
}

/// The whole of `text` with `?` for each control character and mark of direction; line breaks stay. For outputs that
/// consist of lines.
pub fn harmless(text: &str) -> String {
    text.replace(|c| c != '\n' && is_command(c), "?")
}

/// Control characters (C0, C1, delete), line and paragraph separators, and the marks, embeddings, overrides and isolates
/// of Unicode's bidirectional algorithm.
fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `char::is_control` alone fails this: the marks of direction are format characters, not control characters.
    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let hostile = "a\u{1b}[2Jb\u{9b}c\u{202e}d\u{2066}e\u{200f}f\u{61c}g\u{7f}h\u{2028}i\r\n";
        assert_eq!(shown(hostile), "a?[2Jb?c?d?e?f?g?h?i??");
        assert_eq!(harmless(hostile), "a?[2Jb?c?d?e?f?g?h?i?\n");
        assert_eq!(shown("naïve 漢字 \u{200d}🙂"), "naïve 漢字 \u{200d}🙂");
    }

    /// Counting bytes fails the second: it cuts within a character.
    #[test]
    fn a_long_text_is_cut() {
        let exact = "é".repeat(MAX_SHOWN_CHARS);
        assert_eq!(shown(&exact), exact);
        assert_eq!(shown(&format!("{exact}x")), format!("{}…", "é".repeat(MAX_SHOWN_CHARS - 1)));
        assert_eq!(harmless(&"x".repeat(1000)).len(), 1000);
    }
}
