//! The tables, for the terminal and for the page.

use understory_lab::position::{Analysis, Estimator, Fits, KvTerm};
use understory_lab::report::Estimate;
use understory_protocol::figures::rounded;
use understory_protocol::foreign::shown;

use super::{Outcome, Subject};
use crate::output;

/// A table with what to know about it.
pub struct Section {
    pub title: &'static str,
    pub note: String,
    /// as [`output::columns`] takes it
    pub align: &'static str,
    /// the heading first
    pub rows: Vec<Vec<String>>,
}

pub fn text(outcome: &Outcome) -> String {
    let mut out = format!("{}\n", heading(outcome));
    for Section { title, note, align, rows } in sections(&outcome.analysis) {
        out += &format!("\n{title}\n{note}\n{}", output::columns(align, &rows));
    }
    out
}

/// What ran where, and how often.
pub fn heading(outcome: &Outcome) -> String {
    let Subject { model, device, software, report, .. } = &outcome.subject;
    let Analysis { runs, rounds, prefills, lengths, .. } = &outcome.analysis;
    let list = |values: &[usize]| values.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let from = report.as_ref().map_or(String::new(), |id| format!(", from report {}", shown(id)));
    let (model, device) = (shown(model), shown(device));
    let software = if *software { ". A software adapter: a CPU that imitates a GPU" } else { "" };
    format!(
        "{model} on {device}{from}: {runs} runs in {rounds} rounds, prompts of {} tokens, outputs of {}{software}.",
        list(prefills),
        list(lengths)
    )
}

pub fn sections(analysis: &Analysis) -> Vec<Section> {
    let mut sections = vec![buckets(analysis)];
    sections.extend(prefill_effects(analysis));
    let steps = "Step time against the length of context";
    let note = "x: tokens that the step attends to. The step after the first token is left out: nothing is under way \
                before it.";
    sections.extend(analysis.steps.as_ref().map(|of| fits(steps, note, of)));
    let over_n = "The published quantity against the output length";
    let note = "x: N. Equal steps make (N-1)/N of it, whatever the KV cache does.";
    sections.extend(analysis.over_n.as_ref().map(|of| fits(over_n, note, of)));
    sections.extend(analysis.kv.as_ref().map(kv));
    if !analysis.estimators.is_empty() {
        sections.push(estimators(analysis));
    }
    sections
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

fn buckets(analysis: &Analysis) -> Section {
    let mut rows = vec![row(["tokens", "runs", "over N, ms", "TPOT, ms", "published"])];
    for bucket in &analysis.buckets {
        rows.push(vec![
            bucket.tokens.clone(),
            bucket.runs.to_string(),
            optional(bucket.over_n_ms.as_ref()),
            optional(bucket.tpot_ms.as_ref()),
            rounded(bucket.published_ms),
        ]);
    }
    let note = "Over N is the published formula, the time of N - 1 steps divided by N; TPOT divides it by N - 1. The \
                published figures are another model's on another device.";
    Section { title: "By output length", note: note.into(), align: "<>>>>", rows }
}

/// The longest output that several prompts have.
fn prefill_effects(analysis: &Analysis) -> Option<Section> {
    let effect = analysis.prefill_effects.last()?;
    let mut rows = vec![row(["prompt", "step, ms"])];
    rows.extend(effect.step_ms.iter().map(|(prefill, ms)| vec![prefill.to_string(), estimate(ms)]));
    let ratio = optional(effect.ratio.as_ref());
    let note = format!("Outputs of {} tokens. The longest prompt's step over the shortest's: {ratio}.", effect.length);
    Some(Section { title: "By prompt, at a fixed output", note, align: ">>", rows })
}

fn fits(title: &'static str, note: &str, fits: &Fits) -> Section {
    let mut rows = vec![row(["", "form", "parameters", "RMSE, ms", "AICc", "of resamples"])];
    for fit in &fits.fits {
        let parameter = |p: &understory_lab::position::Parameter| format!("{} {}", p.name, estimate(&p.estimate));
        rows.push(vec![
            (if fit.form == fits.chosen { "*" } else { "" }).into(),
            fit.form.name().into(),
            fit.parameters.iter().map(parameter).collect::<Vec<_>>().join(", "),
            figure(fit.rmse_ms),
            format!("{:.1}", fit.aicc),
            fit.chosen_share.map_or("unknown".into(), |share| format!("{:.0} %", 100.0 * share)),
        ]);
    }
    let note = format!("{note} * fits: {}.", fits.criterion);
    Section { title, note, align: "<<<>>>", rows }
}

fn kv(kv: &KvTerm) -> Section {
    let unknown = || "unknown".to_owned();
    let micros = |ms: f64| figure(1e3 * ms);
    let memory = &kv.memory;
    let alpha = Estimate {
        value: 1e3 * kv.alpha_ms.value,
        interval: kv.alpha_ms.interval.map(|ends| ends.map(|end| 1e3 * end)),
        n: kv.alpha_ms.n,
    };
    let rows = vec![
        row(["", ""]),
        vec!["alpha, µs a token of context".into(), estimate(&alpha)],
        vec!["KV cache, bytes a token".into(), memory.kv_bytes_per_token.map_or_else(unknown, |n| n.to_string())],
        vec!["bandwidth, GB/s".into(), memory.bandwidth_gb_per_s.map_or_else(unknown, rounded)],
        vec!["bytes over bandwidth, µs".into(), kv.bytes_over_bandwidth_ms.map_or_else(unknown, micros)],
        vec!["alpha over that".into(), optional(kv.ratio.as_ref())],
    ];
    let note = "Alpha is the linear form's, whether or not it is the one that fits. 1: a step grows by the reading of \
                the cache and by nothing else.";
    Section { title: "Growth of a step against the KV cache", note: note.into(), align: "<>", rows }
}

fn estimators(analysis: &Analysis) -> Section {
    let mut rows = vec![row(["estimator", "ms a step", "error", "worst", "bias", "safety factor"])];
    let percent = |share: f64| format!("{} %", rounded(100.0 * share));
    for of in &analysis.estimators {
        rows.push(vec![
            of.estimator.name().into(),
            of.ms.iter().map(|&ms| figure(ms)).collect::<Vec<_>>().join(" "),
            percent(of.error),
            percent(of.worst),
            percent(of.bias),
            of.safety_factor.map_or("unknown".into(), rounded),
        ]);
    }
    let named = |estimator: Estimator| estimator.name();
    let note = format!(
        "Time from the first token to the last, foretold for {} runs of rounds that were held out. `{}` has a mean \
         step for each range of tokens above, `{}` one up to the tenth token and one after it, `{}` the step that 95 % \
         do not exceed. Error: median; a prediction times the safety factor (P95 of measured/predicted) holds for 95 % \
         of runs.",
        analysis.estimators.first().map_or(0, |of| of.runs),
        named(Estimator::ByPosition),
        named(Estimator::EarlyLate),
        named(Estimator::Conservative)
    );
    Section { title: "Estimators, on runs that they have not seen", note, align: "<<>>>>", rows }
}

/// Three digits also of what is small.
pub fn figure(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 { format!("{value:.2e}") } else { rounded(value) }
}

fn estimate(estimate: &Estimate) -> String {
    match estimate.interval {
        Some([low, high]) => format!("{} ({} to {})", figure(estimate.value), figure(low), figure(high)),
        None => figure(estimate.value),
    }
}

fn optional(value: Option<&Estimate>) -> String {
    value.map_or("unknown".into(), estimate)
}
