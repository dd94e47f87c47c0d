//! Damage: what happens to a good input on its way to being a bad one.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change. A place is an [`Index`]: a share of the input's length, whatever that is by then.
#[derive(Clone, Debug)]
pub enum Damage {
    /// Flips a bit of a byte.
    Flip(Index, u8),
    /// Replaces a byte.
    Set(Index, u8),
    /// Cuts the input off.
    Cut(Index),
    /// Takes a piece out.
    Remove(Index, Index),
    /// Says a short piece again, up to some thousand times.
    Repeat(Index, usize, u16),
    /// Puts in a word that means something to the reader.
    Insert(Index, &'static str),
    /// Replaces a run of digits.
    Number(Index, &'static str),
    /// Replaces a quoted text.
    Text(Index, &'static str),
    /// Moves a piece to another place.
    Move(Index, usize, Index),
}

/// Numbers at the edges of what types and formats hold.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "0.5",
];

const TEXTS: [&str; 8] = ["", " ", "../x", "\\u0000", "\u{202e}", "\u{e9}\u{1f600}", "None", "{{"];

/// Bytes of what a text is copied from at most when it is repeated.
const REPEATED: usize = 64;

/// One to six changes, with words of the input's own language.
pub fn any(words: &'static [&'static str]) -> impl Strategy<Value = Vec<Damage>> {
    let place = any_place;
    let word = if words.is_empty() { select(&TEXTS[..]).boxed() } else { select(words).boxed() };
    let one = prop_oneof![
        (place(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (place(), proptest::num::u8::ANY).prop_map(|(at, byte)| Damage::Set(at, byte)),
        place().prop_map(Damage::Cut),
        (place(), place()).prop_map(|(from, to)| Damage::Remove(from, to)),
        (place(), 1..REPEATED, 2..4000u16).prop_map(|(at, len, times)| Damage::Repeat(at, len, times)),
        (place(), word).prop_map(|(at, word)| Damage::Insert(at, word)),
        (place(), select(&NUMBERS[..])).prop_map(|(at, number)| Damage::Number(at, number)),
        (place(), select(&TEXTS[..])).prop_map(|(at, text)| Damage::Text(at, text)),
        (place(), 1..REPEATED, place()).prop_map(|(from, len, to)| Damage::Move(from, len, to)),
    ];
    proptest::collection::vec(one, 1..7)
}

fn any_place() -> impl Strategy<Value = Index> {
    proptest::arbitrary::any::<Index>()
}

/// `input` with all of `changes`, one after the other, never longer than `most` bytes.
pub fn apply(input: &[u8], changes: &[Damage], most: usize) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        change.apply(&mut bytes);
        bytes.truncate(most);
    }
    bytes
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        match self {
            Self::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Self::Set(at, byte) => bytes[at.index(len)] = *byte,
            Self::Cut(at) => bytes.truncate(at.index(len)),
            Self::Remove(from, to) => {
                let (from, to) = (from.index(len), to.index(len));
                bytes.drain(from.min(to)..from.max(to));
            }
            Self::Repeat(at, piece, times) => {
                let start = at.index(len);
                let copy = bytes[start..len.min(start + piece)].repeat(usize::from(*times));
                bytes.splice(start..start, copy);
            }
            Self::Insert(at, word) => {
                let at = at.index(len);
                bytes.splice(at..at, word.bytes());
            }
            Self::Number(at, number) => replace(bytes, at.index(len), u8::is_ascii_digit, number),
            Self::Text(at, text) => replace(bytes, at.index(len), |byte| !b"\"'".contains(byte), text),
            Self::Move(from, piece, to) => {
                let from = from.index(len);
                let moved: Vec<u8> = bytes.drain(from..len.min(from + piece)).collect();
                let to = to.index(len).min(bytes.len());
                bytes.splice(to..to, moved);
            }
        }
    }
}

/// Puts `text` in place of the first run at or after `start` whose bytes are all `of_run`.
fn replace(bytes: &mut Vec<u8>, start: usize, of_run: impl Fn(&u8) -> bool, text: &str) {
    let begins = |at: &usize| of_run(&bytes[*at]) && (*at == 0 || !of_run(&bytes[at - 1]));
    let Some(from) = (start..bytes.len()).find(begins) else { return };
    let to = (from..bytes.len()).find(|at| !of_run(&bytes[*at])).unwrap_or(bytes.len());
    bytes.splice(from..to, text.bytes());
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree;

    use super::*;

    /// Without a bound, a few repetitions of repetitions fill the memory.
    #[test]
    fn an_input_stays_within_its_bound() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let strategy = any(&["[", "{{"]);
        for _ in 0..2000 {
            let changes = strategy.new_tree(&mut runner).expect("a tree").current();
            assert!(apply(b"{\"a\": [1, 22, \"x\"], \"b\": {}}", &changes, 5000).len() <= 5000);
        }
    }

    #[test]
    fn a_number_is_replaced_whole() {
        let mut bytes = b"{\"a\": 123, \"b\": 4}".to_vec();
        replace(&mut bytes, 5, u8::is_ascii_digit, "-1");
        assert_eq!(bytes, b"{\"a\": -1, \"b\": 4}");
        replace(&mut bytes, 12, |byte| !b"\"'".contains(byte), "x");
        assert_eq!(String::from_utf8_lossy(&bytes).matches('x').count(), 1);
    }
}
