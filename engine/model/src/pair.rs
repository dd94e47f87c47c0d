//! Whether two models can work together: a draft proposes token ids, so an id must be the same token to both.
//!
//! Only the ids matter. How text becomes tokens may differ, since the draft never sees text.

use understory_protocol::{Error, Result};

use crate::tokenizer::Tokenizer;

/// Checks that every id is the same token to target and draft. Each is given as its tokenizer and its `vocab_size`,
/// the rows of its embedding. Many models pad these with rows that stand for no token, so the sizes may differ.
///
/// Where they do, the check is not enough: an id from the smaller size on must neither be proposed to a smaller target
/// nor be fed to a smaller draft.
///
/// # Errors
/// [`Error::PairMismatch`] with the first id that differs.
pub fn check_pair(target: (&Tokenizer, usize), draft: (&Tokenizer, usize)) -> Result<()> {
    // An id beyond both embeddings, such as an image placeholder, is never chosen.
    let ids = 0..target.1.max(draft.1) as u32;
    let mut texts = ids.map(|token| (token, target.0.token_text(token), draft.0.token_text(token)));
    match texts.find(|(_, target, draft)| target != draft) {
        None => Ok(()),
        Some((token, target_text, draft_text)) => Err(Error::PairMismatch {
            token,
            target: target_text,
            draft: draft_text,
            target_size: target.1,
            draft_size: draft.1,
        }),
    }
}
