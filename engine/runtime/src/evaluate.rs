//! Logits of every position: the likelihood of a text, and rows for tests.

use understory_protocol::{Error, Result};

use crate::forward::{Forward, Tail};
use crate::gpu::{Gpu, Staging};

const DOING: &str = "evaluating";

/// Logits `[tokens.len(), vocab_size]` of a sequence from position 0 on, `rows` at a time at most (1 to 64; the
/// bits do not depend on it), handed to `on_rows(first position, logits)`.
///
/// # Errors
/// [`Error::DeviceLost`], [`Error::OutOfDeviceMemory`].
pub async fn logits(
    gpu: &Gpu,
    forward: &mut Forward,
    tokens: &[u32],
    rows: usize,
    on_rows: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    let vocab = forward.config.vocab_size;
    if let Some(&token) = tokens.iter().find(|&&t| t as usize >= vocab) {
        return Err(Error::BadToken { token, vocab_size: vocab });
    }
    forward.reserve(gpu, tokens.len()).await?;
    let all = forward.all_logits(gpu).await?;
    let mut staging = Staging::new(gpu, (all.rows * vocab * 4) as u64).await?;
    forward.cache.invalidate();
    let mut base = 0;
    while base < tokens.len() {
        let n = rows.clamp(1, all.rows).min(forward.few_rows(base)).min(tokens.len() - base);
        forward.set_rows(gpu, &tokens[base..base + n], base);
        let (encoder, _) = gpu.encode_pass(|pass| forward.record(pass, n, base, &Tail::AllLogits(&all)));
        let bytes = (n * vocab * 4) as u64;
        let values = staging.read_floats(gpu, DOING, encoder, &all.logits, bytes).await?;
        on_rows(base, &values)?;
        base += n;
    }
    forward.cache.commit(tokens.iter().copied());
    Ok(())
}

/// `-ln p(token[i + 1] | token[..= i])` in nats for each token after the first. Texts beyond the context go
/// through windows of it that overlap by half: every token but the first window's sees at least half a context.
///
/// # Errors
/// [`Error::NanLogits`], and those of [`logits`].
pub async fn negative_log_likelihood(
    gpu: &Gpu,
    forward: &mut Forward,
    tokens: &[u32],
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<f64>> {
    let vocab = forward.config.vocab_size;
    let context = forward.config.max_position_embeddings;
    let mut out = Vec::with_capacity(tokens.len().saturating_sub(1));
    let mut first = 0;
    while out.len() + 1 < tokens.len() {
        let window = &tokens[first..(first + context).min(tokens.len())];
        logits(gpu, forward, window, crate::forward::MAX_INVARIANT_ROWS, &mut |base, values| {
            for (i, row) in values.chunks_exact(vocab).enumerate() {
                let position = first + base + i;
                if position < out.len() || position + 1 >= tokens.len() {
                    continue;
                }
                out.push(surprise(row, tokens[position + 1]).ok_or(Error::NanLogits { position })?);
            }
            on_progress(out.len() + 1, tokens.len());
            Ok(())
        })
        .await?;
        first += (context / 2).max(1);
    }
    Ok(out)
}

/// `-ln softmax(row)[token]` in f64; `None` if the row holds a NaN or plus infinity, or nothing but minus infinity.
fn surprise(row: &[f32], token: u32) -> Option<f64> {
    let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !peak.is_finite() || row.iter().any(|v| v.is_nan()) {
        return None;
    }
    let sum: f64 = row.iter().map(|&v| f64::from(v - peak).exp()).sum();
    Some(sum.ln() - f64::from(row[token as usize] - peak))
}
