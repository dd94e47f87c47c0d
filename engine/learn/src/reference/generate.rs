//! Greedy decoding with the reference: the plain loop, one readback a token.

use burn::tensor::Tensor;
use understory_protocol::{Error, Result};

use super::{Reference, ReferenceCache};

/// Continues `prompt` by `n` tokens, each the one with the highest logit; an end token stops nothing.
///
/// # Errors
/// [`Error::EmptyPrompt`], [`Error::BadToken`], [`Error::PromptTooLong`] (prompt and continuation must fit
/// the context together), [`Error::NanLogits`], [`Error::Device`].
pub async fn generate_greedy(model: &Reference, prompt: &[u32], n: usize) -> Result<Vec<u32>> {
    let config = model.config();
    if prompt.is_empty() {
        return Err(Error::EmptyPrompt);
    }
    if let Some(&token) = prompt.iter().find(|&&token| token as usize >= config.vocab_size) {
        return Err(Error::BadToken { token, vocab_size: config.vocab_size });
    }
    let context = config.max_position_embeddings;
    if prompt.len() + n > context {
        return Err(Error::PromptTooLong { prompt_tokens: prompt.len() + n, context });
    }

    let mut cache = ReferenceCache::new(config);
    let mut output = Vec::with_capacity(n);
    while output.len() < n {
        let input = output.last().map_or(prompt, std::slice::from_ref);
        let hidden = model.forward_hidden(&mut cache, input);
        let last = hidden.narrow(0, input.len() - 1, 1);
        output.push(argmax(model.logits(last), cache.len() - 1).await?);
    }
    Ok(output)
}

/// The lowest id of the highest logit in `[1, vocab_size]`, or an error where any of them is NaN.
async fn argmax(logits: Tensor<2>, position: usize) -> Result<u32> {
    let doing = "reading the reference's token";
    let vocab_size = logits.dims()[1];
    // One readback for both answers: a NaN anywhere lifts the index out of the vocabulary.
    let any_nan = logits.clone().contains_nan().int() * vocab_size as i32;
    let token = logits.argmax(1).reshape([1]) + any_nan;
    let token: i64 = token.into_scalar_async().await.map_err(|e| Error::Device { doing, reason: e.to_string() })?;
    if token as usize >= vocab_size { Err(Error::NanLogits { position }) } else { Ok(token as u32) }
}
