//! The runs of a scenario, in the schedule's order.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use understory_engine::lab::report::{CaseReport, Sample, StartState};
use understory_engine::lab::scenario::{Planned, Scenario};
use understory_engine::protocol::{FinishReason, GenerateRequest};

use super::caches::Caches;
use super::sample::take;
use super::{environment, is_start, start, takes_draft};
use crate::cli::BenchArgs;
use crate::commands::Loaded;
use crate::exit::Stop;
use crate::interrupt::{self, Mode};
use crate::output::{self, Console};

/// What came of it.
pub struct Measured {
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
/// What goes wrong before anything was measured; [`Stop::Interrupted`] where Ctrl-C came first.
pub async fn all(
    args: &BenchArgs,
    scenario: &Scenario,
    draft: Option<&str>,
    loaded: &mut Loaded,
    console: &Console,
) -> Result<Measured> {
    let planned = scenario.cases();
    let tokenizer = loaded.engine.tokenizer();
    let mut requests = Vec::new();
    for case in &planned {
        let prompt = scenario.prompts[case.prompt].for_request(|text| tokenizer.encode(text, true))?;
        requests.push(case.request(prompt));
    }
    let schedule = scenario.schedule();
    let bar = console.bar();
    bar.set_style(output::bar_style("{pos}/{len}"));
    bar.set_length(schedule.len() as u64);
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    let mut runner = Runner { args, draft, loaded, clock: Instant::now(), caches: Caches::new()?, weights: None };
    let mut samples: Vec<Vec<Sample>> = planned.iter().map(|_| Vec::new()).collect();
    let mut failure = None;
    interrupt::set_mode(Mode::Generating)?;
    for run in schedule.runs() {
        let of = &planned[run.case];
        show(&bar, of, run.round.is_none());
        match runner.run(of, &requests[run.case]).await {
            Ok(mut sample) => {
                bar.inc(1);
                (sample.round, sample.order) = (run.round.unwrap_or(0), run.order);
                if let Some(round) = run.round {
                    tracing::info!(case = run.case, round, "a run was measured");
                    samples[run.case].push(sample);
                }
            }
            Err(error) => {
                failure = Some(error.context(format!("{} of prompt {}", of.case.method, of.case.prompt.id)));
                break;
            }
        }
    }
    bar.finish_and_clear();
    interrupt::set_mode(Mode::Exit)?;
    let failure = failure.map(plain_stop);
    if samples.iter().all(Vec::is_empty) {
        return Err(failure.unwrap_or_else(|| anyhow::anyhow!("no run was made")));
    }
    let caches_kept = runner.caches.doubt();
    Ok(Measured { cases: cases(planned, samples), weights_bytes: runner.weights, failure, caches_kept })
}

/// The interruption without what was running then, so that the program ends with its status.
fn plain_stop(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Stop>() {
        Some(Stop::Interrupted) => Stop::Interrupted.into(),
        _ => error,
    }
}

fn show(bar: &ProgressBar, of: &Planned, warm_up: bool) {
    let case = &of.case;
    let what = if warm_up { "warm-up" } else { case.start.name() };
    bar.set_message(format!("{what}: {}, {}, {} tokens", case.method.name(), case.prompt.id, case.max_new_tokens));
}

/// Those that were measured, with the number of tokens of their prompts.
fn cases(planned: Vec<Planned>, samples: Vec<Vec<Sample>>) -> Vec<CaseReport> {
    let measured = planned.into_iter().zip(samples).filter(|(_, samples)| !samples.is_empty());
    let case = |(Planned { mut case, .. }, samples): (Planned, Vec<Sample>)| {
        case.prompt.n_tokens = samples.first().map(|sample| sample.prompt_tokens);
        CaseReport { case, samples, summary: Vec::new(), speculation: None, goodput: None, flags: Vec::new() }
    };
    measured.map(case).collect()
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
