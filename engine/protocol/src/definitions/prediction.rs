//! What each predicted figure means, for `--explain` and for the page.

use crate::definitions::Definition;

/// Ids as in the JSON report; those of other figures (`time`, `flops`, ..) are in its operators and rounds.
pub static METRICS: [Definition; 23] = [
    Definition {
        id: "ttft_ms",
        name: "TTFT",
        unit: "ms",
        text: "time to first token: the passes of the prompt, chunk by chunk, the last with the lm_head of one row, and the \
         host's wait for it (sync_us). null where the profile states no arithmetic rate",
    },
    Definition {
        id: "tpot_ms",
        name: "TPOT",
        unit: "ms",
        text: "time per output token after the first: the mean of the decode steps over the output's positions, so \
         (t_last - t_first) / (N - 1). One step is not divided by N again (the published 0.035 ms was). A profile with \
         kv_read = final (GenZ's) takes the step at input + output keys for every position",
    },
    Definition {
        id: "e2e_ms",
        name: "Whole request",
        unit: "ms",
        text: "the whole request: ttft_ms + tpot_ms x (output - 1)",
    },
    Definition { id: "prefill_tokens_per_s", name: "Prefill", unit: "tokens/s", text: "batch x input / ttft_ms" },
    Definition { id: "decode_tokens_per_s", name: "Decoding", unit: "tokens/s", text: "batch / tpot_ms" },
    Definition { id: "total_tokens_per_s", name: "Both", unit: "tokens/s", text: "batch x (input + output) / e2e_ms" },
    Definition {
        id: "tokens_per_ms",
        name: "Tokens per ms",
        unit: "tokens/ms",
        text: "batch / tpot_ms: tokens of all sequences that a millisecond of decoding yields",
    },
    Definition {
        id: "ms_per_token",
        name: "ms per token",
        unit: "ms/token",
        text: "tpot_ms / batch: the inverse of tokens_per_ms",
    },
    Definition {
        id: "energy_per_token_mj",
        name: "Energy per token",
        unit: "mJ",
        text: "power_w x tpot_ms / batch, of all devices: the board's limit, so an upper bound; null without a stated power",
    },
    Definition { id: "energy_mj", name: "Energy", unit: "mJ", text: "power_w x e2e_ms, of all devices" },
    Definition {
        id: "memory.weights_bytes",
        name: "Weights",
        unit: "bytes",
        text: "weights on one device, a tied embedding once, adapters that are not merged included",
    },
    Definition {
        id: "memory.kv_bytes",
        name: "KV cache",
        unit: "bytes",
        text: "keys and values of all sequences at input + output tokens, on one device",
    },
    Definition {
        id: "memory.peak_bytes",
        name: "Peak",
        unit: "bytes",
        text: "weights, KV cache and the activations of the operator with the most of them",
    },
    Definition {
        id: "time",
        name: "Time",
        unit: "ms",
        text: "of an operator: max(FLOP / (rate x efficiency), bytes / (bandwidth x efficiency)) + dispatches x dispatch_us; \
         where a profile's overlap is below 1, that share of the shorter one is hidden and the rest comes on top; \
         for exchange between devices bytes / link_gb_s. A pass takes the sum and pass_us",
    },
    Definition {
        id: "flops",
        name: "FLOP",
        unit: "",
        text: "2 for each multiply-add of products and attention; norms, activations and the choice count none",
    },
    Definition {
        id: "bytes",
        name: "Bytes",
        unit: "bytes",
        text: "weights (once a pass), keys and values read or written, activations read or written",
    },
    Definition {
        id: "intensity",
        name: "FLOP/byte",
        unit: "",
        text: "flops / bytes; beyond rate / bandwidth of the device an operator is bound by compute",
    },
    Definition {
        id: "bound",
        name: "Bound",
        unit: "",
        text: "which part of an operator's time is the longest: compute, memory, dispatch or link",
    },
    Definition {
        id: "expected_tokens",
        name: "Tokens a round",
        unit: "tokens",
        text: "tokens that a round yields on average, the target's own included: 1 + the sum over all guesses of the chance \
         that the guess and all before it on its path are right; for a chain of k at one acceptance a, \
         (1 - a^(k+1)) / (1 - a)",
    },
    Definition {
        id: "round_ms",
        name: "Round",
        unit: "ms",
        text: "the draft's passes, one a level, the target's pass over root and guesses, and the small dispatches",
    },
    Definition {
        id: "speed_up",
        name: "Speed-up",
        unit: "",
        text: "tpot_ms of a plain step with the same context over round_ms / expected_tokens",
    },
    Definition {
        id: "break_even_tokens",
        name: "Break-even",
        unit: "tokens",
        text: "(TTFT_s - TTFT_b) / (TPOT_b - TPOT_s): output tokens from which speculation has paid for the draft's prefill and \
         load; null: never",
    },
    Definition {
        id: "acceptance",
        name: "Acceptance",
        unit: "",
        text: "the chance that the draft's best guess at a depth is the target's token, given that its parent was: \
         by_depth of a report of generate --json, or one number for all depths",
    },
];

/// The definition of `metric`; dashes and the part before a dot do not matter.
pub fn explain(metric: &str) -> Option<&'static Definition> {
    let plain = |name: &str| name.rsplit('.').next().unwrap_or_default().replace('-', "_").to_ascii_lowercase();
    METRICS.iter().find(|definition| plain(definition.id) == plain(metric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_their_names() {
        assert!(explain("tpot_ms").is_some_and(|tpot| tpot.text.contains("N - 1")));
        assert_eq!(explain("memory.peak_bytes"), explain("Peak-Bytes"));
        assert_eq!(explain("happiness"), None);
    }
}
