//! Texts of the built-in scenarios: openings of public-domain stories that the bundled models were not trained on.

use serde::Deserialize;

use super::Prompt;

/// Forty openings of 8, 16, 48 and 120 words in turn, a line of JSON each.
const TALES: &str = include_str!("../../../../bench/prompts/tales.jsonl");

#[derive(Deserialize)]
struct Line {
    id: String,
    n_words: usize,
    text: String,
}

fn lines() -> impl Iterator<Item = Line> {
    TALES.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The first `most` openings of `n_words` words: 8, 16, 48 or 120.
pub fn tales(n_words: usize, most: usize) -> Vec<Prompt> {
    let fits = lines().filter(|line| line.n_words == n_words).take(most);
    fits.map(|line| Prompt { id: line.id, text: line.text, tokens: None }).collect()
}

/// A text of 1,200 words: all openings of 120 words, one after the other.
pub fn long_text() -> String {
    let long: Vec<String> = lines().filter(|line| line.n_words == 120).map(|line| line.text).collect();
    long.join("\n\n")
}
