//! The runs of a scenario, in the schedule's order.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use understory_lab::experiment::{Experiment, Step};
use understory_lab::report::{Case, CaseReport, Sample, StartState};
use understory_lab::scenario::{Planned, Scenario};
use understory_protocol::foreign::shown;
use understory_protocol::{FinishReason, GenerateRequest};

use super::caches::Caches;
use super::sample::take;
use super::{environment, is_start, start, takes_draft};
use crate::cli::BenchArgs;
use crate::commands::Loaded;
use crate::exit::Stop;
use crate::interrupt::{self, Mode};
use crate::output::{self, Console};

/// What came of it.
pub struct MeasuredRuns {
    /// those that have a run
    pub cases: Vec<CaseReport>,
    /// of the target, on the device
    pub weights_bytes: Option<u64>,
    /// what ended it early, after something was measured
    pub failure: Option<anyhow::Error>,
    /// why cold starts may not have been cold
    pub caches_kept: Option<String>,
}

/// Makes every run.
///
/// # Errors
/// What goes wrong before anything was measured; [`Stop::Interrupted`] where Ctrl-C or another signal came first.
pub async fn all(
    args: &BenchArgs,
    scenario: &Scenario,
    draft: Option<&str>,
    loaded: &mut Loaded,
    console: &Console,
) -> Result<MeasuredRuns> {
    let tokenizer = loaded.engine.tokenizer();
    let experiment = Experiment::plan(scenario, |text| tokenizer.encode(text, true))?;
    let bar = console.bar();
    bar.set_style(output::bar_style("{pos}/{len}"));
    bar.set_length(experiment.runs() as u64);
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    interrupt::set_mode(Mode::Generating)?;
    let mut runner = Runner { args, draft, loaded, clock: Instant::now(), caches: Caches::new()?, weights: None };
    let measured = experiment
        .run(&mut async |step: Step<'_>| {
            let case = &step.planned.case;
            show(&bar, case, step.warm_up);
            let made = runner.run(step.planned, step.request).await;
            let sample = made.with_context(|| format!("{} of prompt {}", case.method, case.prompt.id))?;
            bar.inc(1);
            tracing::info!(
                case = case.label(),
                "a run was {}",
                if step.warm_up { "made to warm up" } else { "measured" }
            );
            Ok(sample)
        })
        .await;
    bar.finish_and_clear();
    interrupt::set_mode(Mode::Exit)?;
    let failure = measured.failure.map(plain_stop);
    if measured.cases.is_empty() {
        return Err(failure.unwrap_or_else(|| anyhow::anyhow!("no run was made")));
    }
    let caches_kept = runner.caches.doubt();
    Ok(MeasuredRuns { cases: measured.cases, weights_bytes: runner.weights, failure, caches_kept })
}

/// The interruption without what was running then, so that the program ends with its status.
fn plain_stop(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Stop>() {
        Some(Stop::Interrupted) => Stop::Interrupted.into(),
        _ => error,
    }
}

fn show(bar: &ProgressBar, case: &Case, warm_up: bool) {
    let what = if warm_up { "warm-up" } else { case.start.name() };
    let prompt = shown(&case.prompt.id);
    bar.set_message(format!("{what}: {}, {prompt}, {} tokens", case.method.name(), case.max_new_tokens));
}

struct Runner<'a> {
    args: &'a BenchArgs,
    draft: Option<&'a str>,
    loaded: &'a mut Loaded,
    /// the report's
    clock: Instant,
    caches: Caches,
    weights: Option<u64>,
}

impl Runner<'_> {
    /// One run. A start of the states with filled caches finds what the one before it left.
    async fn run(&mut self, of: &Planned, request: &GenerateRequest) -> Result<Sample> {
        if interrupt::cancelled() {
            return Err(Stop::Interrupted.into());
        }
        let load = environment::load();
        let begin = self.clock.elapsed().as_secs_f64() * 1e3;
        let state = of.case.start;
        let (mut sample, weights) = if is_start(state) {
            let folder = if state == StartState::Cold { self.caches.emptied()? } else { self.caches.kept()? };
            let draft = self.draft.filter(|_| takes_draft(&of.case.method));
            let started = start::spawn(self.args, draft, request, state, &folder)?;
            self.caches.look(&folder);
            started
        } else {
            let taken = take(&mut self.loaded.engine, request, state).await.context("a warm run failed")?;
            (taken.sample, taken.weights_bytes)
        };
        if interrupt::cancelled() || sample.finish_reason == FinishReason::Cancelled {
            return Err(Stop::Interrupted.into());
        }
        if sample.emissions.at_ms.is_empty() {
            bail!("a run gave no token");
        }
        self.weights = Some(weights);
        sample.submitted_at_ms = Some(begin + sample.before_ms.unwrap_or(0.0));
        sample.load = load;
        Ok(sample)
    }
}
