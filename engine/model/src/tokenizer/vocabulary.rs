//! The model of a tokenizer (BPE, Unigram, WordPiece, WordLevel): what the library takes for granted is checked first.

use tokenizers::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;
use understory_protocol::foreign::shown;

use super::file::{Model, Vocabulary};
use super::limits::{
    MAX_AFFIX_BYTES, MAX_ID, MAX_UNIGRAM_BYTES, MAX_UNIGRAM_CHAIN, MAX_UNIGRAM_PIECE, MAX_WORD_CHARS, at_most,
};

/// # Errors
/// What is wrong with the model.
pub(super) fn build(mut model: Model) -> Result<ModelWrapper, String> {
    for (what, affix) in [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ] {
        at_most(&format!("the length of {what}"), affix.as_ref().map_or(0, String::len), MAX_AFFIX_BYTES)?;
    }
    if let Vocabulary::Ids(ids) = &model.vocab
        && let Some((token, id)) = ids.iter().find(|&(_, &id)| id >= MAX_ID)
    {
        return Err(format!("token `{}` has the id {id}; ids below {MAX_ID} are expected", shown(token)));
    }
    let kind = model.kind.take().unwrap_or_else(|| without_name(&model).into());
    match kind.as_str() {
        "BPE" => bpe(model).map(Into::into),
        "Unigram" => unigram(model).map(Into::into),
        "WordPiece" => word_piece(model).map(Into::into),
        "WordLevel" => word_level(model).map(Into::into),
        other => Err(format!("the model is of type `{}`; known: BPE, Unigram, WordPiece, WordLevel", shown(other))),
    }
}

/// Old files leave the type out; it shows in their keys.
fn without_name(model: &Model) -> &'static str {
    match (&model.vocab, &model.merges, model.max_input_chars_per_word) {
        (Vocabulary::Scores(_), ..) => "Unigram",
        (_, Some(_), _) => "BPE",
        (_, None, Some(_)) => "WordPiece",
        (_, None, None) => "WordLevel",
    }
}

fn ids(vocabulary: Vocabulary) -> Result<tokenizers::models::bpe::Vocab, String> {
    match vocabulary {
        Vocabulary::Ids(ids) => Ok(ids),
        Vocabulary::Scores(_) => Err("the vocabulary is a list; tokens with ids are expected".into()),
    }
}

fn bpe(model: Model) -> Result<BPE, String> {
    let ids = ids(model.vocab)?;
    let merges = model.merges.ok_or("the model has no merges")?.0;
    // The library cuts the prefix off the second piece without looking, and puts both together in as many bytes as the
    // longest token has. That all three are tokens it checks itself.
    let prefix = model.continuing_subword_prefix.as_ref().map_or(0, String::len);
    let longest = ids.keys().map(String::len).max().unwrap_or(0);
    for (first, second) in &merges {
        match second.get(prefix..) {
            None => return Err(format!("a merge of `{}` lacks continuing_subword_prefix", shown(second))),
            Some(rest) if first.len() + rest.len() > longest => {
                return Err(format!("a merge ends in `{}` and gives no token", shown(second)));
            }
            Some(_) => {}
        }
    }
    let mut builder = BPE::builder().vocab_and_merges(ids, merges);
    if let Some(dropout) = model.dropout {
        builder = builder.dropout(dropout);
    }
    if let Some(token) = model.unk_token {
        builder = builder.unk_token(token);
    }
    if let Some(prefix) = model.continuing_subword_prefix {
        builder = builder.continuing_subword_prefix(prefix);
    }
    if let Some(suffix) = model.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    let builder = builder
        .fuse_unk(model.fuse_unk.unwrap_or(false))
        .byte_fallback(model.byte_fallback.unwrap_or(false))
        .ignore_merges(model.ignore_merges.unwrap_or(false));
    builder.build().map_err(|error| error.to_string())
}

fn unigram(model: Model) -> Result<Unigram, String> {
    let Vocabulary::Scores(pieces) = model.vocab else {
        return Err("the vocabulary is no list of pieces with scores".into());
    };
    at_most("the number of pieces", pieces.len(), MAX_ID as usize)?;
    at_most("the length of all pieces", pieces.iter().map(|(piece, _)| piece.len()).sum(), MAX_UNIGRAM_BYTES)?;
    let longest = pieces.iter().map(|(piece, _)| piece.len()).max().unwrap_or(0);
    at_most("the length of the longest piece", longest, MAX_UNIGRAM_PIECE)?;
    at_most("the length of pieces that begin alike", longest_chain(&pieces), MAX_UNIGRAM_CHAIN)?;
    Unigram::from(pieces, model.unk_id, model.byte_fallback.unwrap_or(false)).map_err(|error| error.to_string())
}

/// The largest sum of the lengths of pieces each of which begins with the one before.
fn longest_chain(pieces: &[(String, f64)]) -> usize {
    let mut sorted: Vec<&str> = pieces.iter().map(|(piece, _)| piece.as_str()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut chain: Vec<&str> = Vec::new();
    let (mut bytes, mut most) = (0, 0);
    for piece in sorted {
        while let Some(last) = chain.pop_if(|last| !piece.starts_with(*last)) {
            bytes -= last.len();
        }
        chain.push(piece);
        bytes += piece.len();
        most = most.max(bytes);
    }
    most
}

fn word_piece(model: Model) -> Result<WordPiece, String> {
    let chars = model.max_input_chars_per_word.unwrap_or(100);
    at_most("max_input_chars_per_word", chars, MAX_WORD_CHARS)?;
    let builder = WordPiece::builder()
        .vocab(ids(model.vocab)?)
        .unk_token(model.unk_token.ok_or("the model has no unk_token")?)
        .continuing_subword_prefix(model.continuing_subword_prefix.unwrap_or_else(|| "##".into()))
        .max_input_chars_per_word(chars);
    builder.build().map_err(|error| error.to_string())
}

fn word_level(model: Model) -> Result<WordLevel, String> {
    let builder =
        WordLevel::builder().vocab(ids(model.vocab)?).unk_token(model.unk_token.ok_or("the model has no unk_token")?);
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a`, `ab`, `abc` begin alike, `b` and `abd` end chains. A sum over all pieces gives 12.
    #[test]
    fn chains_are_of_pieces_that_begin_alike() {
        let pieces = ["ab", "b", "abc", "a", "abd", "bx"].map(|piece| (piece.to_owned(), 0.0));
        assert_eq!(longest_chain(&pieces), 6);
        assert_eq!(longest_chain(&[]), 0);
    }
}
