//! From raw samples to what a report says of them: medians, ratios, flags. Everything here can be computed again from
//! the file.

use std::collections::{BTreeMap, HashMap};

use understory_protocol::figures::rounded;
use understory_protocol::formulas::median;
use understory_protocol::{Method, Sampling};

use super::metrics::{Better, Metric, goodput};
use super::report::{
    Acceptance, Build, Case, CaseReport, Counts, Estimate, Flag, FlagKind, MetricSummary, Quantile, Ratio, Report,
    Sample, StartState,
};
use super::statistics::{Bootstrap, Resampler, drift, outliers, quantile, stalls};

/// Runs of a case under which intervals are wide.
const FEW: usize = 10;
/// Processes that wanted to run before the start, beyond which others were computing too.
const BUSY: f64 = 0.5;
/// A step of the clock beyond this share of the median gap shows in single gaps.
const COARSE: f64 = 0.05;
/// Shares of the runs whose slowest is told.
const TAIL: [f64; 3] = [0.9, 0.95, 0.99];
/// Metrics that methods are compared by.
const COMPARED: [Metric; 4] = [Metric::Ttft, Metric::StartTtft, Metric::Tpot, Metric::E2el];

impl Report {
    /// How this report's intervals are made.
    pub fn bootstrap(&self) -> Bootstrap {
        let protocol = &self.protocol;
        Bootstrap { resamples: protocol.resamples, confidence: protocol.confidence, seed: protocol.seed }
    }

    /// Runs of the case that has most.
    pub(crate) fn longest(&self) -> usize {
        self.cases.iter().map(|of| of.samples.len()).max().unwrap_or(0)
    }

    /// Fills in summaries, ratios and flags from the samples, in place of what was there. Times are shortened to 0.1 µs
    /// first, so that a report and its file say the same.
    pub fn conclude(&mut self) {
        let (bootstrap, limits) = (self.bootstrap(), self.protocol.limits);
        let resampler = bootstrap.resampler();
        for of in &mut self.cases {
            of.samples.iter_mut().for_each(Sample::shorten);
            of.summary = summary(&resampler, of);
            of.speculation = Counts::sum(of.samples.iter().filter_map(|sample| sample.speculation.as_ref()));
            of.goodput = limits.and_then(|limits| goodput(&of.samples, &limits));
            of.flags = case_flags(of);
        }
        self.ratios = ratios(&bootstrap, &self.cases);
        self.flags = environment_flags(self);
        self.flags.extend(drift_flag(&self.cases));
        self.flags.extend(differing_outputs(&self.cases));
    }
}

impl Report {
    /// By case, TPOT of the baseline beside it over the case's own; above 1 is faster.
    pub fn speed_ups(&self) -> HashMap<usize, Estimate> {
        let mut found = HashMap::new();
        for ratio in self.ratios.iter().filter(|ratio| ratio.metric == Metric::Tpot.id()) {
            found.entry(ratio.case).or_insert_with(|| ratio.ratio.inverse());
        }
        found
    }
}

impl CaseReport {
    /// A metric of the runs that have it, with their rounds.
    pub fn values(&self, metric: Metric) -> impl Iterator<Item = (usize, f64)> {
        self.samples.iter().filter_map(move |sample| Some((sample.round, metric.of(sample)?)))
    }

    pub fn summary_of(&self, metric: Metric) -> Option<&MetricSummary> {
        self.summary.iter().find(|summary| summary.metric == metric.id())
    }
}

impl Case {
    /// For people: `auto, prompt once, 64 tokens, warm`.
    pub fn label(&self) -> String {
        let sampled = match self.sampling.temperature {
            0.0 => String::new(),
            t => format!(", temperature {t}, seed {}", self.sampling.seed),
        };
        let (prompt, n, start) = (&self.prompt.id, self.max_new_tokens, self.start.name());
        format!("{}, prompt {prompt}, {n} tokens{sampled}, {start}", self.method)
    }

    /// All but the method: cases that are equal in it stand beside each other.
    pub(crate) fn setting(&self) -> (Text<'_>, StartState) {
        (self.text(), self.start)
    }

    /// What the text follows from: methods do not change it, nor does what was there before the start.
    fn text(&self) -> Text<'_> {
        (self.prompt.hash.as_str(), self.max_new_tokens, self.ignore_eos, choice(&self.sampling))
    }
}

/// See [`Case::text`].
pub(crate) type Text<'a> = (&'a str, usize, bool, Choice);
/// [`Sampling`] as a key of maps.
pub(crate) type Choice = ([u32; 5], u64);

pub(crate) fn choice(sampling: &Sampling) -> Choice {
    let &Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed } = sampling;
    // -0 and 0 are the same.
    let bits = |value: f32| (value + 0.0).to_bits();
    ([bits(temperature), top_k, bits(top_p), bits(min_p), bits(repetition_penalty)], seed)
}

fn summary(resampler: &Resampler, of: &CaseReport) -> Vec<MetricSummary> {
    let summarise = |metric: Metric| {
        let values: Vec<f64> = of.values(metric).map(|(_, value)| value).collect();
        let told = TAIL.into_iter().filter(|_| metric.better() == Better::Lower);
        let tail = told.filter_map(|share| Some(Quantile::new(share, quantile(&values, share).ok()?)));
        Some(MetricSummary { metric: metric.id().into(), median: resampler.median(&values)?, tail: tail.collect() })
    };
    Metric::ALL.into_iter().filter_map(summarise).collect()
}

fn ratios(bootstrap: &Bootstrap, cases: &[CaseReport]) -> Vec<Ratio> {
    let is_baseline = |of: &CaseReport| of.case.method == Method::Ar;
    let mut baselines = HashMap::new();
    for (index, of) in cases.iter().enumerate().filter(|(_, of)| is_baseline(of)) {
        baselines.entry(of.case.setting()).or_insert(index);
    }
    let mut ratios = Vec::new();
    for (index, of) in cases.iter().enumerate().filter(|(_, of)| !is_baseline(of)) {
        let Some(&baseline) = baselines.get(&of.case.setting()) else { continue };
        for metric in COMPARED {
            let plain: BTreeMap<usize, f64> = cases[baseline].values(metric).collect();
            let pairs: Vec<_> = of.values(metric).filter_map(|(round, ms)| Some((ms, *plain.get(&round)?))).collect();
            if let Some(ratio) = bootstrap.paired_ratio(&pairs) {
                ratios.push(Ratio { metric: metric.id().into(), case: index, baseline, ratio });
            }
        }
    }
    ratios
}

/// What a run is judged by: TPOT, or TTFT of a single token.
fn judged(sample: &Sample) -> Option<f64> {
    Metric::Tpot.of(sample).or_else(|| Metric::Ttft.of(sample))
}

fn case_flags(of: &CaseReport) -> Vec<Flag> {
    let samples = &of.samples;
    let n = samples.len();
    let mut flags = Vec::new();
    let mut flag = |kind, detail: String| flags.push(Flag { kind, detail });
    if n < FEW {
        flag(FlagKind::FewRuns, format!("{n} runs; an interval is worth something from {FEW} on"));
    }
    let values: Vec<f64> = samples.iter().filter_map(judged).collect();
    let far = outliers(&values);
    if !far.is_empty() {
        let worst = far.iter().map(|&i| values[i] / median(&values)).fold(0.0, f64::max);
        let detail = format!("{} of {n} runs far from the median, up to {} times it", far.len(), rounded(worst));
        flag(FlagKind::Outliers, detail);
    }
    let gaps = |sample: &Sample| sample.emissions.gaps().map(|(ms, _)| ms).collect::<Vec<f64>>();
    let stalled: Vec<_> = samples.iter().filter_map(|s| stalls(&gaps(s))).filter(|s| s.is_contaminated()).collect();
    if !stalled.is_empty() {
        let longest = stalled.iter().map(|s| s.longest_ms).fold(0.0, f64::max);
        let detail = format!("{} of {n} runs stood still, for up to {} ms at once", stalled.len(), rounded(longest));
        flag(FlagKind::Stalls, detail);
    }
    let hidden = samples.iter().filter(|sample| sample.hidden == Some(true)).count();
    if hidden > 0 {
        flag(FlagKind::Hidden, format!("the tab was hidden in {hidden} of {n} runs"));
    }
    let reused = samples.iter().filter(|sample| sample.reused_tokens > 0).count();
    if reused > 0 {
        flag(FlagKind::PromptReused, format!("the KV cache held a part of the prompt in {reused} of {n} runs"));
    }
    if of.case.acceptance == Acceptance::Synthetic {
        let p = of.case.synthetic_acceptance.map_or(String::new(), |p| format!(" {p}"));
        flag(FlagKind::Synthetic, format!("acceptance{p} was injected; the text is not the target's"));
    }
    flags
}

fn environment_flags(report: &Report) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut flag = |kind, detail: String| flags.push(Flag { kind, detail });
    if report.engine.build == Build::Debug {
        flag(FlagKind::DebugBuild, "a debug build: the host's share is many times too large".into());
    }
    let device = &report.device;
    if device.adapter.software {
        let name = device.adapter.name.as_deref().unwrap_or("the adapter");
        flag(FlagKind::SoftwareAdapter, format!("{name} is a CPU that imitates a GPU"));
    }
    if report.runtime.visible == Some(false) {
        flag(FlagKind::Hidden, "the tab was hidden at some moment".into());
    }
    if let Some(load) = device.load.filter(|&load| load > BUSY) {
        flag(FlagKind::Load, format!("{} processes were computing before the start", rounded(load)));
    }
    // Where the processor imitates the GPU, the pressure is our own.
    let pressed = |pressure: &&str| !device.adapter.software && matches!(*pressure, "serious" | "critical");
    if let Some(pressure) = device.pressure.as_deref().filter(pressed) {
        flag(FlagKind::Load, format!("the browser says that the pressure on the processor was {pressure}"));
    }
    if let Some(power) = &device.power {
        if power.on_battery == Some(true) {
            let percent = power.battery_percent.map_or(String::new(), |percent| format!(", {percent} %"));
            flag(FlagKind::OnBattery, format!("on battery{percent}"));
        }
        if let Some(mode) = power.mode.as_deref().filter(|m| m.contains("save") || m.starts_with("low")) {
            flag(FlagKind::Throttled, format!("power mode {mode}"));
        }
    }
    if let Some(thermal) = device.thermal.as_deref().filter(|t| matches!(*t, "serious" | "critical" | "throttled")) {
        flag(FlagKind::Throttled, format!("thermal state {thermal}"));
    }
    let gaps: Vec<f64> = report.cases.iter().filter_map(|of| Some(of.summary_of(Metric::Itl)?.median.value)).collect();
    let least = gaps.into_iter().filter(|&gap| gap > 0.0).reduce(f64::min);
    if let (Some(step), Some(gap)) = (report.runtime.timer_resolution_ms, least)
        && step > COARSE * gap
    {
        let detail = format!("the clock steps by {} ms, a gap takes {} ms", rounded(step), rounded(gap));
        flag(FlagKind::CoarseTimer, detail);
    }
    flags
}

/// Over all runs with a resident model in their order, each as a multiple of its case's median.
fn drift_flag(cases: &[CaseReport]) -> Option<Flag> {
    let mut all: Vec<(usize, f64)> = Vec::new();
    for of in cases.iter().filter(|of| of.case.start == StartState::Warm) {
        let values: Vec<_> = of.samples.iter().filter_map(|s| Some((s.order, judged(s)?))).collect();
        if values.is_empty() {
            continue;
        }
        let middle = median(&values.iter().map(|v| v.1).collect::<Vec<_>>());
        all.extend(values.iter().filter(|_| middle > 0.0).map(|&(order, value)| (order, value / middle)));
    }
    all.sort_by_key(|&(order, _)| order);
    let found = drift(&all.iter().map(|v| v.1).collect::<Vec<_>>()).filter(|found| found.is_drift())?;
    let (percent, way) = match found.ratio {
        r if r > 1.0 => (r - 1.0, "slower"),
        r => (1.0 - r, "faster"),
    };
    let p = if found.p < 1e-3 { "p < 0.001".into() } else { format!("p = {}", rounded(found.p)) };
    let percent = rounded(100.0 * percent);
    let detail = format!("the last third of the runs was {percent} % {way} than the first (Mann-Whitney, {p})");
    Some(Flag { kind: FlagKind::Drift, detail })
}

/// Methods that gave another text than they must have: of measured acceptance, under one prompt, length and sampling.
fn differing_outputs(cases: &[CaseReport]) -> Option<Flag> {
    let measured = |of: &&CaseReport| of.case.acceptance == Acceptance::Measured;
    let mut firsts: HashMap<Text<'_>, &CaseReport> = HashMap::new();
    for of in cases.iter().filter(measured) {
        firsts.entry(of.case.text()).or_insert(of);
    }
    let differs = |of: &&CaseReport| {
        let expected = firsts.get(&of.case.text()).and_then(|first| first.samples.first());
        of.samples.iter().any(|sample| expected.is_some_and(|e| e.output_hash != sample.output_hash))
    };
    let names: Vec<String> = cases
        .iter()
        .filter(measured)
        .filter(differs)
        .map(|of| format!("{} of prompt {}", of.case.method, of.case.prompt.id))
        .collect();
    let detail = || format!("texts that must be the same differ: {}", names.join(", "));
    (!names.is_empty()).then(|| Flag { kind: FlagKind::OutputDiffers, detail: detail() })
}

#[cfg(test)]
mod tests;
