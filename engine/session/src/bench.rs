//! A scenario of the latency lab with the loaded models: the page's half of `understory bench`. The process that holds
//! the models cannot be started anew, so only requests to a resident model are made, and a report says so.

use std::cell::Cell;
use std::ops::ControlFlow;

use understory_lab::experiment::{Experiment, Recorder, Site, Step, When};
use understory_lab::report::{Flag, FlagKind, Model, Models as Identities, Phase, Report, Sample, StartState};
use understory_lab::scenario::{self, Scenario};
use understory_lab::{environment, html, link, rendering};
use understory_model::files::ModelFiles;
use understory_model::fingerprints;
use understory_protocol::{
    AdapterReport, BenchRequest, BenchStep, Benched, Error, FailureKind, FinishReason, KernelSet, LoadRequest, Method,
    ModelSource, Reply, ReportFile, Result,
};
use understory_runtime::engine::Engine;
use web_time::{Instant, SystemTime};

use super::{Models, Session};

/// What a front end sees while runs are made.
pub trait Watch {
    /// It is to end.
    fn stopped(&self) -> bool;
    /// The tab was hidden at some moment since this was asked last; `None`: there is no tab that matters.
    fn hidden(&self) -> Option<bool>;
    /// as `load` of a [`Device`](understory_lab::report::Device)
    fn load(&self) -> Option<f64>;
    /// as `pressure` of a [`Device`](understory_lab::report::Device), over all runs
    fn pressure(&self) -> Option<String>;
}

/// Why a run gave no sample.
enum Ended {
    Stopped,
    Failed(Error),
}

impl Session {
    /// Measures what `request` asks for. `site` says what runs and where, from the adapter, the kernels in use and the
    /// step of the clock. What was measured before an error, or before `watch` said stop, is the result, marked as
    /// partial.
    ///
    /// # Errors
    /// [`Error::NothingLoaded`], [`Error::BadParameter`], those of reading the models' files, and what goes wrong before
    /// a run was measured.
    pub async fn bench(
        &mut self,
        request: &BenchRequest,
        site: impl FnOnce(&AdapterReport, KernelSet, Option<f64>) -> Site,
        watch: &dyn Watch,
        emit: &mut dyn FnMut(Reply),
    ) -> Result<Reply> {
        let (engine, models) = self.loaded()?;
        let (scenario, left_out) = plan(request, engine.has_draft())?;
        let mut model = models.identities()?;
        let mut costs = None;
        if scenario.methods.iter().any(|&method| method != Method::Ar) {
            costs = Some(engine.calibrate(models.costs.clone()).await?.clone());
        }
        // No run waits for a kernel that was put off.
        while engine.compile_one().await? {}
        let mut site = site(engine.gpu().report(), engine.kernel_set(), environment::clock_step_ms());

        let experiment = Experiment::plan(&scenario, |text| engine.tokenizer().encode(text, true))?;
        let (started, clock) = (SystemTime::now(), Instant::now());
        let elapsed_ms = || clock.elapsed().as_secs_f64() * 1e3;
        let hidden = Cell::new(watch.hidden());
        let weights = Cell::new(None);
        let measured = experiment
            .run(&mut async |step: Step<'_>| {
                emit(Reply::Benching(progress(&step, elapsed_ms())));
                let (submitted, load) = (elapsed_ms(), watch.load());
                let (mut sample, weights_bytes) = take(engine, &step, watch).await?;
                let was_hidden = watch.hidden();
                hidden.set(was_hidden.map(|now| now || hidden.get() == Some(true)));
                weights.set(Some(weights_bytes));
                (sample.submitted_at_ms, sample.load, sample.hidden) = (Some(submitted), load, was_hidden);
                Ok(sample)
            })
            .await;
        let took_ms = elapsed_ms();

        let why = match measured.failure {
            Some(Ended::Failed(error)) if measured.cases.is_empty() => return Err(error),
            Some(Ended::Failed(error)) => Some(format!("a run failed: {error}")),
            Some(Ended::Stopped) if measured.cases.is_empty() => {
                let message = "stopped before a run was measured, so there is nothing to report";
                return Ok(Reply::Failed(FailureKind::Other.with(message)));
            }
            Some(Ended::Stopped) => Some("stopped by hand".into()),
            None => None,
        };
        site.runtime.visible = hidden.get().map(|hidden| !hidden);
        site.device.pressure = watch.pressure();
        model.target.weights_bytes = weights.get();
        model.target.weight_types = engine.weight_types().into_iter().map(str::to_owned).collect();
        let when = When {
            run_id: environment::run_id(started, &scenario.name, &request.nonce),
            started_at: environment::iso(started),
            took_ms,
        };
        let mut report = Report::concluded(&scenario, site, when, model, costs, measured.cases);
        report.loading = Phase::loading(engine.phases_mut());
        let flags = why.map(|why| report.partial(&scenario, &why)).into_iter().chain(left_out);
        let flags: Vec<Flag> = flags.collect();
        report.flags.extend(flags);
        benched(&report).map(|benched| Reply::Benched(Box::new(benched)))
    }
}

impl Models {
    /// Which bytes they are made of.
    fn identities(&self) -> Result<Identities> {
        let LoadRequest { target, draft, dtype, .. } = &self.request;
        let of = |source: &ModelSource, files: &dyn ModelFiles| -> Result<Model> {
            let model = Model {
                id: source.label(),
                hash: fingerprints::weights(files)?,
                tokenizer_hash: fingerprints::tokenizer(files)?,
                dtype: *dtype,
                weight_types: Vec::new(),
                weights_bytes: None,
                parameters: None,
            };
            files.release();
            Ok(model)
        };
        let draft = draft.as_ref().zip(self.draft.as_ref()).map(|(source, files)| of(source, &**files)).transpose()?;
        Ok(Identities { target: of(target, &*self.target)?, draft })
    }
}

/// The scenario as it can be made here, and what is to be said of starts that cannot.
fn plan(request: &BenchRequest, has_draft: bool) -> Result<(Scenario, Option<Flag>)> {
    let built_in = scenario::built_in(&request.scenario)?;
    let mut wanted = if has_draft { built_in } else { built_in.without_draft() };
    let (warm, others): (Vec<_>, Vec<_>) = wanted.starts.into_iter().partition(|&start| start == StartState::Warm);
    wanted.starts = warm;
    wanted.runs = request.runs.unwrap_or(wanted.runs);
    wanted.validate()?;
    let names: Vec<&str> = others.iter().map(|start| start.name()).collect();
    let left_out = (!names.is_empty()).then(|| Flag {
        kind: FlagKind::Partial,
        detail: format!(
            "no {} starts: an engine that holds the models cannot be started anew, so only requests to resident models \
             were measured",
            names.join(" or ")
        ),
    });
    Ok((wanted, left_out))
}

fn progress(step: &Step<'_>, elapsed_ms: f64) -> BenchStep {
    BenchStep {
        made: step.made,
        runs: step.runs,
        warm_up: step.warm_up,
        case: step.planned.case.label(),
        left_ms: (step.share > 0.0).then(|| elapsed_ms / step.share - elapsed_ms),
    }
}

/// One run with nothing in the KV cache, and the bytes of the target's weights.
async fn take(engine: &mut Engine, step: &Step<'_>, watch: &dyn Watch) -> Result<(Sample, u64), Ended> {
    if watch.stopped() {
        return Err(Ended::Stopped);
    }
    engine.clear_cache();
    let mut recorder = Recorder::default();
    let mut on_event = |event| {
        recorder.hear(&event);
        if watch.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let generation = engine.generate(step.request, &mut on_event).await.map_err(Ended::Failed)?;
    if generation.finish_reason == FinishReason::Cancelled || watch.stopped() {
        return Err(Ended::Stopped);
    }
    Ok((recorder.sample(step.planned.case.start, &generation), generation.metrics.weights_bytes))
}

/// The report as files, and as a part of a link.
fn benched(report: &Report) -> Result<Benched> {
    let json = serde_json::to_string(report)
        .map_err(|error| Error::BadFile { file: "report.json".into(), reason: error.to_string() })?;
    let link = link::pack(&json);
    let partial = report.flags.iter().any(|flag| flag.kind == FlagKind::Partial);
    let files = [
        ("report.json", json + "\n"),
        ("report.html", html::report::page(report)),
        ("samples.csv", rendering::csv(report)),
        ("report.md", rendering::markdown(report)),
    ];
    let files = files.map(|(name, text)| ReportFile { name: name.into(), text }).into();
    Ok(Benched { run_id: report.run_id.clone(), partial, files, link })
}
