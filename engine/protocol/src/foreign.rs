//! Text that somebody else wrote (names of tensors, values of a configuration, tokens, labels of a report), made fit to be
//! shown: on a terminal some characters are commands, and a few others make a line read differently from what it says.

use std::borrow::Cow;

/// The longest that [`shown`] lets a text be, in characters, its `…` included.
pub const MAX_SHOWN_CHARS: usize = 200;
/// The longest that [`words`] lets a text be, in characters, its `…` included.
pub const MAX_WORDS_CHARS: usize = 1000;

/// What [`message`] leaves of a longer text, in characters.
const MESSAGE_CHARS: usize = 2000;
/// A text that is this much longer stays whole, so that a message around one that was cut is not cut again.
const MESSAGE_SLACK: usize = 300;

/// `text` on one line of at most [`MAX_SHOWN_CHARS`] characters: cut with `…`, and with `?` for each line break, control
/// character and mark of direction. For what a message quotes.
pub fn shown(text: &str) -> String {
    harmless(&cut(text, MAX_SHOWN_CHARS)).replace('\n', "?")
}

/// At most [`MAX_WORDS_CHARS`] characters of `text`, cut with `…`, and [`harmless`]. For a reason that somebody else
/// words, or that quotes several foreign texts.
pub fn words(text: &str) -> String {
    harmless(&cut(text, MAX_WORDS_CHARS))
}

/// The beginning of `text`, with `…` as its last character where there was more.
fn cut(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        None => text.into(),
        Some(_) => text.chars().take(max_chars - 1).chain(['…']).collect::<String>().into(),
    }
}

/// The whole of `text` with `?` for each control character and mark of direction; line breaks stay. For outputs that
/// consist of lines.
pub fn harmless(text: &str) -> String {
    text.replace(|c| c != '\n' && is_command(c), "?")
}

/// As [`harmless`], and of a readable length, for what a whole message says: one that quotes a file may be as long as the
/// file. What is cut is said.
pub fn message(text: &str) -> String {
    if text.char_indices().nth(MESSAGE_CHARS + MESSAGE_SLACK).is_none() {
        return harmless(text);
    }
    let mut rest = text.chars();
    let kept: String = rest.by_ref().take(MESSAGE_CHARS).collect();
    format!("{}… (cut here: {} more characters)", harmless(&kept), rest.count())
}

/// Control characters (C0, C1, delete), line and paragraph separators, and the marks, embeddings, overrides and isolates
/// of Unicode's bidirectional algorithm.
pub fn is_command(c: char) -> bool {
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
        assert_eq!(shown("a\u{1b}[2J\r\nb\u{202e}"), "a?[2J??b?");
        assert_eq!(shown("größe"), "größe");
    }

    /// Counting bytes fails the second: it cuts within a character.
    #[test]
    fn a_long_text_is_cut() {
        let exact = "é".repeat(MAX_SHOWN_CHARS);
        assert_eq!(shown(&exact), exact);
        assert_eq!(shown(&format!("{exact}x")), format!("{}…", "é".repeat(MAX_SHOWN_CHARS - 1)));
        assert_eq!(shown(&"ä".repeat(100_000)).chars().count(), MAX_SHOWN_CHARS);
        assert_eq!(words(&"é\n".repeat(MAX_WORDS_CHARS)).chars().count(), MAX_WORDS_CHARS);
        assert_eq!(harmless(&"x".repeat(5000)).len(), 5000);
    }

    /// Cutting at a byte fails the first; a message that quotes one that was cut has to keep what the cut says.
    #[test]
    fn a_long_message_says_what_is_cut() {
        let cut = message(&"\u{1b}é".repeat(5_000));
        assert!(cut.starts_with("?é?é") && cut.ends_with("é… (cut here: 8000 more characters)"), "{cut}");
        assert_eq!(message(&format!("a.json: {cut}")), format!("a.json: {cut}"));
        assert_eq!(message("a\nb"), "a\nb");
    }
}
