//! The patterns of a tokenizer: regular expressions with look-around, whose time may grow with the power of the text. The
//! library's own give up silently after a million steps at one match, and take as many at the next. These share one
//! deadline over a whole text.

use std::cell::Cell;
use std::time::Duration;

use fancy_regex::Regex;
use serde_json::{Map, Value};
use tokenizers::tokenizer::pattern::Pattern;
use web_time::Instant;

use super::limits::{MAX_PATTERN_BYTES, at_most};

/// What any text may take, and what a megabyte of it may take in addition. Patterns of published tokenizers take a
/// hundredth of the latter.
const BASE: Duration = Duration::from_secs(5);
const PER_MEGABYTE: Duration = Duration::from_secs(10);
/// The clock is read once in so many matches.
const MATCHES: usize = 16;

const TOO_SLOW: &str = "a pattern takes too long on this text";

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Begins the time for a text of so many bytes, in this thread.
pub(super) fn begin(bytes: usize) {
    let more = PER_MEGABYTE.mul_f64(bytes as f64 / 1.0e6);
    DEADLINE.set(Instant::now().checked_add(BASE + more));
}

fn is_over() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline)
}

/// A regular expression with a deadline.
pub(super) struct Timed(Regex);

impl Timed {
    /// From `pattern` of a component: `{"String": ..}`, taken literally, or `{"Regex": ..}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(component: &Map<String, Value>) -> Result<Self, String> {
        let entry = component.get("pattern").and_then(Value::as_object).and_then(|pattern| pattern.iter().next());
        let source = match entry {
            Some((kind, Value::String(text))) if kind == "String" => fancy_regex::escape(text).into_owned(),
            Some((kind, Value::String(text))) if kind == "Regex" => text.clone(),
            _ => return Err("a pattern is neither a String nor a Regex".into()),
        };
        at_most("the length of a pattern", source.len(), MAX_PATTERN_BYTES)?;
        Regex::new(&source).map(Self).map_err(|error| format!("a pattern is no regular expression: {error}"))
    }
}

impl Pattern for &Timed {
    /// The parts of `inside` in their order, and whether each matched.
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<((usize, usize), bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut parts = Vec::new();
        let mut end = 0;
        for (nth, found) in self.0.find_iter(inside).enumerate() {
            let found = found.map_err(|_| TOO_SLOW)?;
            if nth % MATCHES == 0 && is_over() {
                return Err(TOO_SLOW.into());
            }
            if end != found.start() {
                parts.push(((end, found.start()), false));
            }
            parts.push(((found.start(), found.end()), true));
            end = found.end();
        }
        if end != inside.len() {
            parts.push(((end, inside.len()), false));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(value: Value) -> Result<Timed, String> {
        let Value::Object(component) = serde_json::json!({ "pattern": value }) else { unreachable!() };
        Timed::of(&component)
    }

    #[test]
    fn a_text_is_taken_literally_and_a_pattern_is_not() {
        let parts = |value| (&pattern(value).unwrap()).find_matches("a.b").unwrap();
        assert_eq!(parts(serde_json::json!({ "String": "." })), [((0, 1), false), ((1, 2), true), ((2, 3), false)]);
        assert_eq!(parts(serde_json::json!({ "Regex": "[.b]+" })), [((0, 1), false), ((1, 3), true)]);
        for bad in [serde_json::json!(7), serde_json::json!({}), serde_json::json!({ "Regex": "(" })] {
            assert!(pattern(bad).is_err());
        }
    }

    /// 2^30 ways for one match; and each of many matches just below the limit of steps. A pattern without a deadline takes
    /// hours for the second.
    #[test]
    fn a_slow_pattern_is_an_error() {
        let slow = pattern(serde_json::json!({ "Regex": "(?:(?!c)a|(?!d)a)*b" })).unwrap();
        assert!((&slow).find_matches(&"a".repeat(30)).is_err());
        let slow = pattern(serde_json::json!({ "Regex": "(?=(?:(?!c)a|(?!d)a){14}b)|a" })).unwrap();
        let text = "a".repeat(1_000_000);
        DEADLINE.set(Instant::now().checked_add(Duration::from_millis(200)));
        assert!((&slow).find_matches(&text).is_err());
        DEADLINE.set(None);
    }
}
