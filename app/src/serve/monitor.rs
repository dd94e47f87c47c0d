//! What the engine behind the page measures, for Prometheus to collect: every metric of this file is at `/metrics`. They
//! are those of docs/numbers.md, in seconds as Prometheus wants them, and of this run of the program.

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use understory_protocol::{FinishReason, Generation};

const TTFT: &str = "understory_ttft_seconds";
const TPOT: &str = "understory_tpot_seconds";
const ITL: &str = "understory_itl_seconds";
const ACCEPTANCE_LENGTH: &str = "understory_acceptance_length";
const REQUESTS: &str = "understory_requests_total";

/// Upper ends of the histograms' buckets: seconds, and tokens a round.
const FIRST: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const NEXT: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5];
const LENGTHS: [f64; 10] = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0];

/// How a request for a text can end.
const OUTCOMES: [&str; 6] = ["eos", "stop", "length", "context", "cancelled", "failed"];

pub struct Monitor {
    all: PrometheusHandle,
    ttft: Histogram,
    tpot: Histogram,
    itl: Histogram,
    acceptance_length: Histogram,
    /// in the order of [`OUTCOMES`]
    requests: [Counter; OUTCOMES.len()],
    prompt_tokens: Counter,
    generated_tokens: Counter,
    drafted_tokens: Counter,
    accepted_tokens: Counter,
    rounds: Counter,
    waiting: Gauge,
    weights_bytes: Gauge,
    kv_bytes: Gauge,
    peak_bytes: Gauge,
}

impl Monitor {
    /// # Errors
    /// Never, as long as no list of buckets is empty.
    pub fn new() -> anyhow::Result<Self> {
        let buckets = |builder: PrometheusBuilder, name: &str, ends: &[f64]| {
            builder.set_buckets_for_metric(Matcher::Full(name.into()), ends)
        };
        let builder = buckets(PrometheusBuilder::new(), TTFT, &FIRST)?;
        let builder = buckets(builder, TPOT, &NEXT)?;
        let builder = buckets(builder, ITL, &NEXT)?;
        let recorder = buckets(builder, ACCEPTANCE_LENGTH, &LENGTHS)?.build_recorder();
        let all = recorder.handle();
        // No global recorder: nothing but this value has a part in these metrics.
        Ok(with_local_recorder(&recorder, || Self {
            all,
            ttft: of_histogram(TTFT, "Request submitted to its first non-empty text", Unit::Seconds),
            tpot: of_histogram(TPOT, "Time per output token after the first, one value a request", Unit::Seconds),
            itl: of_histogram(ITL, "Gaps between emissions, each of which may hold several tokens", Unit::Seconds),
            acceptance_length: of_histogram(
                ACCEPTANCE_LENGTH,
                "Tokens that a round of speculation yields, the target's own included, one value a request",
                Unit::Count,
            ),
            requests: {
                describe_counter!(REQUESTS, "Requests for a text, by how they ended");
                OUTCOMES.map(|outcome| counter!(REQUESTS, "outcome" => outcome))
            },
            prompt_tokens: of_counter("understory_prompt_tokens_total", "Tokens of prompts"),
            generated_tokens: of_counter("understory_generated_tokens_total", "Tokens of texts, end tokens included"),
            drafted_tokens: of_counter("understory_drafted_tokens_total", "Guessed tokens that the target checked"),
            accepted_tokens: of_counter("understory_accepted_tokens_total", "Of them, those that became text"),
            rounds: of_counter("understory_rounds_total", "Passes of the target that checked guessed tokens"),
            waiting: of_gauge("understory_waiting_requests", "Requests of any kind that wait for their turn"),
            weights_bytes: of_gauge("understory_gpu_weights_bytes", "Weights on the device, at the last text"),
            kv_bytes: of_gauge("understory_gpu_kv_cache_bytes", "KV cache on the device, at the last text"),
            peak_bytes: of_gauge("understory_gpu_peak_bytes", "The most that the engine held on the device at once"),
        }))
    }

    /// Requests have come to wait, or with a negative number have got their turn.
    pub fn waiting(&self, more: f64) {
        self.waiting.increment(more);
    }

    pub fn generated(&self, generation: &Generation) {
        let metrics = &generation.metrics;
        self.requests[outcome(generation.finish_reason)].increment(1);
        self.prompt_tokens.increment(generation.prompt_token_ids.len() as u64);
        self.generated_tokens.increment(generation.token_ids.len() as u64);
        for (histogram, ms) in [(&self.ttft, metrics.ttft_ms), (&self.tpot, metrics.tpot_ms)] {
            if let Some(ms) = ms {
                histogram.record(ms / 1e3);
            }
        }
        // Tokens of one emission were read at one moment.
        for gap in metrics.emit_ms.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0.0) {
            self.itl.record(gap / 1e3);
        }
        // Injected acceptance says nothing of these models.
        if let Some(done) = generation.speculation.as_ref().filter(|done| done.synthetic_acceptance.is_none()) {
            self.drafted_tokens.increment(done.drafted as u64);
            self.accepted_tokens.increment(done.accepted as u64);
            self.rounds.increment(done.rounds as u64);
            if done.rounds > 0 {
                self.acceptance_length.record(done.acceptance_length);
            }
        }
        self.weights_bytes.set(metrics.weights_bytes as f64);
        self.kv_bytes.set(metrics.kv_bytes as f64);
        self.peak_bytes.set(metrics.peak_gpu_bytes as f64);
        // Values wait one by one until they are sorted into their buckets.
        self.all.run_upkeep();
    }

    /// A request for a text ended with an error.
    pub fn failed(&self) {
        self.requests[OUTCOMES.len() - 1].increment(1);
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> String {
        self.all.render()
    }
}

fn of_histogram(name: &'static str, help: &'static str, unit: Unit) -> Histogram {
    describe_histogram!(name, unit, help);
    histogram!(name)
}

fn of_counter(name: &'static str, help: &'static str) -> Counter {
    describe_counter!(name, help);
    counter!(name)
}

fn of_gauge(name: &'static str, help: &'static str) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name)
}

/// Index in [`OUTCOMES`].
fn outcome(reason: FinishReason) -> usize {
    match reason {
        FinishReason::Eos => 0,
        FinishReason::Stop => 1,
        FinishReason::Length => 2,
        FinishReason::Context => 3,
        FinishReason::Cancelled => 4,
    }
}

#[cfg(test)]
mod tests {
    use understory_protocol::{Metrics, Sampling};

    use super::*;

    /// Tried and caught: milliseconds recorded as seconds. A gap of 0 for each token of an emission fails this too.
    #[test]
    fn a_text_is_counted_in_seconds_and_emissions() {
        let monitor = Monitor::new().unwrap();
        let before = monitor.text();
        assert!(before.contains("understory_requests_total{outcome=\"failed\"} 0"), "{before}");
        let metrics = Metrics {
            ttft_ms: Some(20.0),
            tpot_ms: Some(3.0),
            emit_ms: vec![20.0, 23.0, 23.0, 23.0, 32.0],
            weights_bytes: 7,
            ..Metrics::default()
        };
        monitor.generated(&Generation {
            prompt_token_ids: vec![1, 2],
            token_ids: vec![3; 5],
            text: String::new(),
            finish_reason: FinishReason::Length,
            sampling: Sampling::default(),
            metrics,
            speculation: None,
        });
        monitor.failed();
        monitor.waiting(2.0);
        monitor.waiting(-1.0);
        let text = monitor.text();
        for line in [
            "# TYPE understory_ttft_seconds histogram",
            "understory_ttft_seconds_bucket{le=\"0.01\"} 0",
            "understory_ttft_seconds_bucket{le=\"0.025\"} 1",
            "understory_itl_seconds_count 2",
            "understory_itl_seconds_bucket{le=\"0.005\"} 1",
            "understory_tpot_seconds_sum 0.003",
            "understory_generated_tokens_total 5",
            "understory_prompt_tokens_total 2",
            "understory_drafted_tokens_total 0",
            "understory_requests_total{outcome=\"length\"} 1",
            "understory_requests_total{outcome=\"failed\"} 1",
            "understory_waiting_requests 1",
            "understory_gpu_weights_bytes 7",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
        }
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} is not described");
        }
    }
}
