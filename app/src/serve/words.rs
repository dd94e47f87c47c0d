//! Words for peers. Messages quote what strangers wrote, and strangers write at length.

use understory_protocol::foreign::{harmless, shown};
use understory_protocol::{Failure, FailureKind, Reply};

/// The longest message of a failure, in characters; the page shows it whole.
pub const MOST_CHARS: usize = 2000;

/// `text` without control characters, cut with `…`.
pub fn cut(text: &str) -> String {
    let is_longer = text.char_indices().nth(MOST_CHARS).is_some();
    let kept: String = text.chars().take(if is_longer { MOST_CHARS - 1 } else { MOST_CHARS }).collect();
    harmless(&kept) + if is_longer { "…" } else { "" }
}

/// A reply with the words of a failure cut.
pub fn bounded(reply: Reply) -> Reply {
    let Reply::Failed(Failure { kind, message }) = reply else { return reply };
    let kind = match kind {
        FailureKind::FileUnreadable { file } => FailureKind::FileUnreadable { file: shown(&file) },
        FailureKind::FileTruncated { file } => FailureKind::FileTruncated { file: shown(&file) },
        FailureKind::BadParameter { name, value, expected } => {
            FailureKind::BadParameter { name: shown(&name), value: shown(&value), expected: cut(&expected) }
        }
        kind => kind,
    };
    Reply::Failed(Failure { kind, message: cut(&message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cutting the message alone fails this, and so does cutting it by bytes.
    #[test]
    fn no_failure_is_longer_than_a_page_shows() {
        let long = "\u{1b}é".repeat(1 << 20);
        let kinds = [
            FailureKind::Other,
            FailureKind::FileUnreadable { file: long.clone() },
            FailureKind::FileTruncated { file: long.clone() },
            FailureKind::BadParameter { name: long.clone(), value: long.clone(), expected: long.clone() },
        ];
        for kind in kinds {
            let text = serde_json::to_string(&bounded(Reply::Failed(kind.with(long.clone())))).unwrap();
            assert!(text.len() < 4 * MOST_CHARS + 2000 && !text.contains("001b"), "{} bytes", text.len());
        }
        let short = Reply::Failed(FailureKind::Other.with("a\nb"));
        assert_eq!(bounded(short.clone()), short);
    }
}
