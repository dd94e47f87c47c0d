//! Every metric from raw emissions: the one place where it is computed. The engine's own figures for a request call the
//! same functions.
//!
//! Formulas that published documents got wrong stand in the tests, as wrong.

use understory_protocol::definitions::{self as d, Definition};
use understory_protocol::formulas::*;

use super::report::{Counts, Limits, Sample};

/// Share of the requests within both limits; `None` without requests. A request without a first text is outside; one of
/// a single token has no TPOT and is judged by its TTFT.
pub fn goodput(samples: &[Sample], limits: &Limits) -> Option<f64> {
    let within = |sample: &&Sample| {
        let ttft = Metric::Ttft.of(sample).is_some_and(|ms| ms <= limits.ttft_ms);
        ttft && Metric::Tpot.of(sample).is_none_or(|ms| ms <= limits.tpot_ms)
    };
    (!samples.is_empty()).then(|| samples.iter().filter(within).count() as f64 / samples.len() as f64)
}

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
    /// It describes, and is no merit.
    Neither,
}

/// A figure of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    Ttft,
    EngineTtft,
    PaintTtft,
    StartTtft,
    Tpot,
    Itl,
    TokensPerEmission,
    E2el,
    TokenGeneration,
    PrefillRate,
    DecodeRate,
    OutputRate,
    TotalRate,
    AcceptanceRate,
    AcceptanceLength,
    TokensPerPass,
    VerificationEfficiency,
    Repetition,
    PeakGpuBytes,
}

impl Metric {
    /// In the order in which tables show them.
    pub const ALL: [Metric; 19] = [
        Metric::Ttft,
        Metric::EngineTtft,
        Metric::PaintTtft,
        Metric::StartTtft,
        Metric::Tpot,
        Metric::Itl,
        Metric::TokensPerEmission,
        Metric::E2el,
        Metric::TokenGeneration,
        Metric::PrefillRate,
        Metric::DecodeRate,
        Metric::OutputRate,
        Metric::TotalRate,
        Metric::AcceptanceRate,
        Metric::AcceptanceLength,
        Metric::TokensPerPass,
        Metric::VerificationEfficiency,
        Metric::Repetition,
        Metric::PeakGpuBytes,
    ];

    pub fn definition(self) -> &'static Definition {
        match self {
            Metric::Ttft => &d::TTFT,
            Metric::EngineTtft => &d::ENGINE_TTFT,
            Metric::PaintTtft => &d::PAINT_TTFT,
            Metric::StartTtft => &d::START_TTFT,
            Metric::Tpot => &d::TPOT,
            Metric::Itl => &d::ITL,
            Metric::TokensPerEmission => &d::TOKENS_PER_EMISSION,
            Metric::E2el => &d::E2EL,
            Metric::TokenGeneration => &d::TOKEN_GENERATION,
            Metric::PrefillRate => &d::PREFILL_RATE,
            Metric::DecodeRate => &d::DECODE_RATE,
            Metric::OutputRate => &d::OUTPUT_RATE,
            Metric::TotalRate => &d::TOTAL_RATE,
            Metric::AcceptanceRate => &d::ACCEPTANCE_RATE,
            Metric::AcceptanceLength => &d::ACCEPTANCE_LENGTH,
            Metric::TokensPerPass => &d::PER_PASS,
            Metric::VerificationEfficiency => &d::VERIFICATION_EFFICIENCY,
            Metric::Repetition => &d::REPETITION,
            Metric::PeakGpuBytes => &d::PEAK,
        }
    }

    /// As in reports: `ttft_ms`.
    pub fn id(self) -> &'static str {
        self.definition().id
    }

    pub fn find(id: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.id() == id)
    }

    pub fn better(self) -> Better {
        use Metric as M;
        match self {
            M::Ttft | M::EngineTtft | M::PaintTtft | M::StartTtft | M::Tpot => Better::Lower,
            M::E2el | M::TokenGeneration | M::PeakGpuBytes => Better::Lower,
            M::PrefillRate | M::DecodeRate | M::OutputRate | M::TotalRate => Better::Higher,
            // A gap is short where few tokens come with it; acceptance is a means.
            M::Itl | M::TokensPerEmission | M::AcceptanceRate | M::AcceptanceLength => Better::Neither,
            M::TokensPerPass | M::VerificationEfficiency | M::Repetition => Better::Neither,
        }
    }

    /// Of one run; `None`: not known, or it has none (the TPOT of a single token).
    pub fn of(self, sample: &Sample) -> Option<f64> {
        let emissions = &sample.emissions;
        let n_out = emissions.n_out();
        let first = emissions.at_ms.first().copied();
        let last = emissions.at_ms.last().copied();
        let ttft = sample.first_text_ms;
        let tpot = || tpot_ms(first?, last?, n_out);
        let counts = sample.speculation.as_ref();
        let counted = |of: &dyn Fn(&Counts) -> Option<f64>| counts.and_then(of);
        match self {
            Metric::Ttft => ttft,
            Metric::EngineTtft => first,
            Metric::PaintTtft => sample.paint_ms,
            Metric::StartTtft => Some(sample.before_ms? + ttft?),
            Metric::Tpot => tpot(),
            // As many gaps as there are emissions after the first.
            Metric::Itl => tpot_ms(first?, last?, emissions.at_ms.len()),
            Metric::TokensPerEmission => last.map(|_| tokens_per_emission(n_out, emissions.at_ms.len())),
            Metric::E2el => last,
            Metric::TokenGeneration => Some(token_generation_ms(last?, ttft?)),
            Metric::PrefillRate => {
                let prefill = sample.phases.iter().find(|phase| phase.name == "prefill")?;
                per_second(sample.prompt_tokens.saturating_sub(sample.reused_tokens), prefill.ms)
            }
            Metric::DecodeRate => per_second(1, tpot()?),
            Metric::OutputRate => per_second(n_out, last?),
            Metric::TotalRate => per_second(sample.prompt_tokens + n_out, last?),
            Metric::AcceptanceRate => counted(&|c| acceptance_rate(c.accepted, c.drafted)),
            Metric::AcceptanceLength => counted(&|c| Some(acceptance_length(c.accepted, c.rounds))),
            Metric::TokensPerPass => counted(&|c| Some(acceptance_length(c.accepted, c.target_passes))),
            Metric::VerificationEfficiency => counted(&|c| verification_efficiency(c.accepted, c.nodes_verified)),
            Metric::Repetition => sample.repetition,
            Metric::PeakGpuBytes => sample.peak_gpu_bytes.map(|bytes| bytes as f64),
        }
    }
}

#[cfg(test)]
mod tests;
