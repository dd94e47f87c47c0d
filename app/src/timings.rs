//! The table of timings after a generation, for people. The same numbers as `metrics` in the JSON report.

use std::fmt::Write as _;

use understory_protocol::figures::{binary_bytes, bytes, rounded};
use understory_protocol::{
    AdapterReport, DepthCount, FinishReason, Generation, Lossless, Metrics, Phases, Speculation,
};

use crate::methods;

/// In place of what the self-test found.
const NOT_TESTED: &str =
    "not known yet: this text was too short to measure the device beside it, so nothing was guessed";

/// What was run and what it ran on.
pub struct Subject<'a> {
    pub model: &'a str,
    pub draft: Option<&'a str>,
    /// of the weights on the device
    pub types: &'a str,
    pub profile: &'a str,
    pub device: &'a AdapterReport,
}

/// Two columns: what, how much.
pub fn table(subject: &Subject<'_>, generation: &Generation) -> String {
    let metrics = &generation.metrics;
    let mut rows = vec![
        ("model", format!("{}, {} weights ({})", subject.model, subject.types, bytes(metrics.weights_bytes))),
        ("device", device(subject)),
    ];
    if subject.device.software {
        rows.push(("", "a software adapter: these are timings of a CPU that imitates a GPU".into()));
    }
    rows.push(("tokens", tokens(generation)));
    if let Some(ttft) = metrics.ttft_ms {
        let token = metrics.engine_ttft_ms.map_or(String::new(), |ms| format!(" (first token {})", millis(ms)));
        rows.push(("TTFT", format!("{} to the first text{token}", millis(ttft))));
    }
    if let Some(rate) = metrics.prefill_tokens_per_s {
        rows.push(("prefill", format!("{} tokens/s", rounded(rate))));
    }
    if let Some(tpot) = metrics.tpot_ms {
        let rate = metrics.decode_tokens_per_s.map_or(String::new(), |rate| format!(" ({} tokens/s)", rounded(rate)));
        rows.push(("TPOT", format!("{} a token{rate}", millis(tpot))));
    }
    rows.extend(generation.speculation.iter().flat_map(|speculation| speculated(subject, speculation)));
    rows.push(("E2EL", format!("{} from request to last token", millis(metrics.e2el_ms))));
    rows.push(("start", phases(&metrics.phases_ms)));
    rows.push(("GPU", gpu(metrics)));
    let mut table = String::new();
    for (name, value) in rows {
        let _ = writeln!(table, "  {name:<10} {value}");
    }
    table
}

/// What speculation did. Definitions: docs/numbers.md.
fn speculated(subject: &Subject<'_>, speculation: &Speculation) -> Vec<(&'static str, String)> {
    let draft = subject.draft.map_or_else(|| "no draft model".into(), |draft| format!("draft model {draft}"));
    let mut rows = vec![("method", format!("{}, {draft}", speculation.method))];
    if let Some(p) = speculation.synthetic_acceptance {
        rows.push(("", synthetic(p)));
    }
    let rate = speculation.acceptance_rate.map_or_else(
        || "nothing drafted".into(),
        |rate| {
            format!("{} of {} drafted tokens accepted ({})", speculation.accepted, speculation.drafted, percent(rate))
        },
    );
    rows.push(("accepted", format!("acceptance length {}, {rate}", rounded(speculation.acceptance_length))));
    if let Some(depths) = by_depth(&speculation.by_depth) {
        rows.push(("by depth", depths));
    }
    let nodes = match speculation.rounds {
        0 => String::new(),
        rounds => format!(", {} nodes a round", rounded(speculation.drafted as f64 / rounds as f64)),
    };
    let (passes, a_pass) = (speculation.target_passes, rounded(speculation.tokens_per_target_pass));
    rows.push(("rounds", format!("{}{nodes}", speculation.rounds)));
    rows.push(("passes", format!("{passes} of the target, {a_pass} tokens a pass")));
    let (emission, syncs) = (rounded(speculation.tokens_per_emission), rounded(speculation.host_syncs_per_token));
    rows.push(("emissions", format!("{emission} tokens each, {syncs} host syncs a token")));
    if let Some(last) = speculation.governor.last() {
        let mode = methods::mode(last.mode);
        let reason = &last.reason;
        rows.push((
            "governor",
            match speculation.governor.len() - 1 {
                0 => reason.clone(),
                1 => format!("1 change of mode, to {mode}: {reason}"),
                n => format!("{n} changes of mode, the last to {mode}: {reason}"),
            },
        ));
    }
    if speculation.synthetic_acceptance.is_none() {
        rows.push(("lossless", speculation.lossless.map_or(NOT_TESTED, Lossless::meaning).into()));
    }
    rows
}

/// The mark of a run whose acceptance was injected.
pub fn synthetic(p: f32) -> String {
    format!("SYNTHETIC acceptance {p}: injected, to measure the system; the text is not the target's")
}

/// `1: 71 %, 2: 55 % (of the rounds that reached it)`; `None` if no tree had a level.
fn by_depth(counts: &[DepthCount]) -> Option<String> {
    let share = |count: &DepthCount| percent(count.accepted as f64 / count.offered as f64);
    let reached = counts.iter().enumerate().filter(|(_, count)| count.offered > 0);
    let depths: Vec<_> = reached.map(|(index, count)| format!("{}: {}", index + 1, share(count))).collect();
    (!depths.is_empty()).then(|| format!("{} (of the rounds that reached it)", depths.join(", ")))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// One line about a turn of a conversation.
pub fn brief(generation: &Generation, reused_tokens: usize, context: usize) -> String {
    let metrics = &generation.metrics;
    let used = generation.prompt_token_ids.len() + generation.token_ids.len();
    let mut line = tokens(generation);
    if let Some(ttft) = metrics.ttft_ms {
        let _ = write!(line, ", TTFT {}", millis(ttft));
    }
    if let Some(rate) = metrics.decode_tokens_per_s {
        let _ = write!(line, ", {} tokens/s", rounded(rate));
    }
    if let Some(speculation) = &generation.speculation {
        let _ = write!(line, ", {} tokens a pass", rounded(speculation.tokens_per_target_pass));
        if let Some(p) = speculation.synthetic_acceptance {
            let _ = write!(line, " ({})", synthetic(p));
        }
    }
    let _ = write!(line, ", {reused_tokens} reused, context {used}/{context}");
    line
}

fn tokens(generation: &Generation) -> String {
    let end = match generation.finish_reason {
        FinishReason::Eos => "ended by the model",
        FinishReason::Stop => "ended by a stop text",
        FinishReason::Length => "ended by the limit of new tokens",
        FinishReason::Context => "ended by the model's context being full",
        FinishReason::Cancelled => "stopped by hand",
    };
    format!("{} prompt + {} new, {end}", generation.prompt_token_ids.len(), generation.token_ids.len())
}

fn device(subject: &Subject<'_>) -> String {
    let device = subject.device;
    format!("{} ({}, {}), {} kernels", device.name, device.backend, device.device_type, subject.profile)
}

fn gpu(metrics: &Metrics) -> String {
    let pipelines = metrics.n_pipelines;
    let peak = binary_bytes(metrics.peak_gpu_bytes);
    let kv = binary_bytes(metrics.kv_bytes);
    let dispatches = metrics.dispatches_per_token.map(|n| format!(", {} dispatches a token", rounded(n)));
    format!("{peak} at most ({kv} KV cache), {pipelines} pipelines{}", dispatches.unwrap_or_default())
}

/// The phases that are known, in their order.
fn phases(phases: &Phases) -> String {
    let known = phases.loading().chain(phases.request()).map(|(name, ms)| format!("{name} {ms:.1}"));
    format!("{} ms", known.collect::<Vec<_>>().join(", "))
}

fn millis(ms: f64) -> String {
    format!("{} ms", rounded(ms))
}

#[cfg(test)]
mod tests {
    use understory_protocol::{DepthCount, Phases};

    #[test]
    fn unknown_phases_are_left_out() {
        let phases = Phases { device: Some(80.0), prefill: Some(5.5), ..Phases::default() };
        assert_eq!(super::phases(&phases), "device 80.0, prefill 5.5 ms");
    }

    #[test]
    fn depths_that_no_tree_reached_are_left_out() {
        let count = |offered, accepted| DepthCount { offered, nodes: 2 * offered, accepted };
        let counts = [count(8, 6), count(4, 1), count(0, 0)];
        let text = super::by_depth(&counts);
        assert_eq!(text.as_deref(), Some("1: 75 %, 2: 25 % (of the rounds that reached it)"));
        assert_eq!(super::by_depth(&counts[2..]), None);
    }
}
