//! What each predicted figure means, for `--explain` and for a page.

/// Names as in the JSON report, with their definitions.
pub const METRICS: [(&str, &str); 23] = [
    (
        "ttft_ms",
        "time to first token: the passes of the prompt, chunk by chunk, the last with the lm_head of one row, and the \
         host's wait for it (sync_us). null where the profile states no arithmetic rate",
    ),
    (
        "tpot_ms",
        "time per output token after the first: the mean of the decode steps over the output's positions, so \
         (t_last - t_first) / (N - 1). One step is not divided by N again (the published 0.035 ms was). A profile with \
         kv_read = final (GenZ's) takes the step at input + output keys for every position",
    ),
    ("e2e_ms", "the whole request: ttft_ms + tpot_ms x (output - 1)"),
    ("prefill_tokens_per_s", "batch x input / ttft_ms"),
    ("decode_tokens_per_s", "batch / tpot_ms"),
    ("total_tokens_per_s", "batch x (input + output) / e2e_ms"),
    ("tokens_per_ms", "batch / tpot_ms: tokens of all sequences that a millisecond of decoding yields"),
    ("ms_per_token", "tpot_ms / batch: the inverse of tokens_per_ms"),
    (
        "energy_per_token_mj",
        "power_w x tpot_ms / batch, of all devices: the board's limit, so an upper bound; null without a stated power",
    ),
    ("energy_mj", "power_w x e2e_ms, of all devices"),
    ("memory.weights_bytes", "weights on one device, a tied embedding once, adapters that are not merged included"),
    ("memory.kv_bytes", "keys and values of all sequences at input + output tokens, on one device"),
    ("memory.peak_bytes", "weights, KV cache and the activations of the operator with the most of them"),
    (
        "time",
        "of an operator: max(FLOP / (rate x efficiency), bytes / (bandwidth x efficiency)) + dispatches x dispatch_us; \
         where a profile's overlap is below 1, that share of the shorter one is hidden and the rest comes on top; \
         for exchange between devices bytes / link_gb_s. A pass takes the sum and pass_us",
    ),
    ("flops", "2 for each multiply-add of products and attention; norms, activations and the choice count none"),
    ("bytes", "weights (once a pass), keys and values read or written, activations read or written"),
    ("intensity", "flops / bytes; beyond rate / bandwidth of the device an operator is bound by compute"),
    ("bound", "which part of an operator's time is the longest: compute, memory, dispatch or link"),
    (
        "expected_tokens",
        "tokens that a round yields on average, the target's own included: 1 + the sum over all guesses of the chance \
         that the guess and all before it on its path are right; for a chain of k at one acceptance a, \
         (1 - a^(k+1)) / (1 - a)",
    ),
    ("round_ms", "the draft's passes, one a level, the target's pass over root and guesses, and the small dispatches"),
    ("speed_up", "tpot_ms of a plain step with the same context over round_ms / expected_tokens"),
    (
        "break_even_tokens",
        "(TTFT_s - TTFT_b) / (TPOT_b - TPOT_s): output tokens from which speculation has paid for the draft's prefill and \
         load; null: never",
    ),
    (
        "acceptance",
        "the chance that the draft's best guess at a depth is the target's token, given that its parent was: \
         by_depth of a report of generate --json, or one number for all depths",
    ),
];

/// The definition of `metric`; dashes and the part before a dot do not matter.
pub fn explain(metric: &str) -> Option<&'static str> {
    let plain = |name: &str| name.rsplit('.').next().unwrap_or_default().replace('-', "_").to_ascii_lowercase();
    METRICS.iter().find(|(name, _)| plain(name) == plain(metric)).map(|(_, definition)| *definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_their_names() {
        assert!(explain("tpot_ms").is_some_and(|text| text.contains("N - 1")));
        assert_eq!(explain("memory.peak_bytes"), explain("Peak-Bytes"));
        assert_eq!(explain("happiness"), None);
    }
}
