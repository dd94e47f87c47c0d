//! The merges of a SentencePiece vocabulary, which has scores alone: any two tokens that make up a third merge, those with
//! the best result first. As transformers converts such vocabularies (`generate_merges`), ties by the ids of the two.

use tokenizers::models::bpe::Vocab as Ids;

use super::{Kind, Tokens};

/// Characters of a token that is split in every way; the longest of published ones have 48. A longer one would be merged
/// only by way of its parts, and its splits take time with the square of its length.
const MAX_CHARS: usize = 256;

/// The pairs of tokens that merge, the best first.
pub(super) fn of(tokens: &Tokens, ids: &Ids, scores: &[f32]) -> Vec<(String, String)> {
    let mut merges = Vec::new();
    for ((text, kind), score) in tokens.texts.iter().zip(&tokens.kinds).zip(scores) {
        if *kind != Kind::Normal || score.is_nan() {
            continue;
        }
        for (at, _) in text.char_indices().skip(1).take(MAX_CHARS) {
            let (first, second) = text.split_at(at);
            if let Some(&first) = ids.get(first)
                && let Some(&second) = ids.get(second)
            {
                merges.push((*score, first, second));
            }
        }
    }
    merges.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let text = |id: u32| tokens.texts[id as usize].clone();
    merges.into_iter().map(|(_, first, second)| (text(first), text(second))).collect()
}
