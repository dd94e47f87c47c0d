//! How much a text repeats itself.

use std::collections::HashSet;

/// Tokens of a piece that counts as repeated.
const GRAM: usize = 4;

/// Share of the 4-grams of tokens ending in `text` that had occurred before, in `prompt` or `text`; `None` where no
/// 4-gram ends in the text.
pub fn repetition(prompt: &[u32], text: &[u32]) -> Option<f64> {
    let all = [prompt, text].concat();
    let mut seen = HashSet::new();
    let (mut again, mut grams) = (0_usize, 0_usize);
    for (i, gram) in all.windows(GRAM).enumerate() {
        let is_new = seen.insert(gram);
        if i + GRAM > prompt.len() {
            grams += 1;
            again += usize::from(!is_new);
        }
    }
    (grams > 0).then(|| again as f64 / grams as f64)
}

#[cfg(test)]
mod tests {
    use super::repetition;

    #[test]
    fn grams_that_occurred_in_prompt_or_text_count() {
        // Grams ending in the text: 2 3 4 1, 3 4 1 2, 4 1 2 3, 1 2 3 4 (in the prompt already).
        assert_eq!(repetition(&[1, 2, 3, 4], &[1, 2, 3, 4]), Some(0.25));
        // 1 1 1 1 for the first time, then twice more.
        assert_eq!(repetition(&[1, 1], &[1, 1, 1, 1]), Some(2.0 / 3.0));
        assert_eq!(repetition(&[1, 2, 3, 4, 5], &[6, 7, 8]), Some(0.0));
        assert_eq!(repetition(&[1], &[2, 3]), None);
        assert_eq!(repetition(&[1, 1, 1, 1, 1], &[]), None);
    }
}
