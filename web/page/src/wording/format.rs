//! Numbers and tokens as people read them.

pub use understory_protocol::figures::{binary_bytes as bytes, rounded};

/// `41.2 ms`, `1.62 s`, unbreakable; a dash where it is not known.
pub fn duration(ms: Option<f64>) -> String {
    match ms {
        Some(ms) if ms >= 999.5 => format!("{}\u{a0}s", rounded(ms / 1e3)),
        Some(ms) => format!("{}\u{a0}ms", rounded(ms)),
        None => UNKNOWN.into(),
    }
}

pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.into(), rounded)
}

pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| UNKNOWN.into(), |share| format!("{:.0}\u{a0}%", 100.0 * share))
}

/// `1 token`, `3 tokens`
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A token with what does not show made visible: `·king`, `↵`; cut to `most` characters.
pub fn token(text: &str, most: usize) -> String {
    let shown = |c: char| match c {
        ' ' => '·',
        '\n' => '↵',
        '\t' => '⇥',
        c => c,
    };
    let all: String = text.chars().map(shown).collect();
    match all.char_indices().nth(most) {
        Some(_) => all.chars().take(most - 1).chain(['…']).collect(),
        None => all,
    }
}

const UNKNOWN: &str = "–";
