//! The runs of a scenario in the schedule's order, and the report of them. A front end makes each run; what is asked, in
//! which order, and what is kept of it is the same everywhere.

use understory_protocol::formulas::repetition;
use understory_protocol::{Costs, Event, GenerateRequest, Generation, Result, hash};

use super::report::{
    CaseReport, Counts, Device, Emissions, EngineBuild, Flag, FlagKind, LONGEST_NAME, Models, Phase, Report, Runtime,
    Sample, SchemaId, SpeculationSetup, StartState,
};
use super::scenario::{Planned, Scenario};
use super::schedule::Schedule;

/// All runs of a scenario, to be made.
pub struct Experiment {
    planned: Vec<Planned>,
    /// one a case
    requests: Vec<GenerateRequest>,
    schedule: Schedule,
}

/// A run to make.
pub struct Step<'a> {
    pub planned: &'a Planned,
    pub request: &'a GenerateRequest,
    /// It does not count.
    pub warm_up: bool,
    /// runs before it, warm-ups included
    pub made: usize,
    /// runs in all
    pub runs: usize,
    /// of all tokens that are to be generated, what the runs before it made: 0 to 1
    pub share: f64,
}

/// What came of it.
pub struct MeasuredCases<E> {
    /// those that have a run
    pub cases: Vec<CaseReport>,
    /// what ended it early
    pub failure: Option<E>,
}

impl Experiment {
    /// `encode` gives a text's tokens, for prompts that are cut to some of them.
    ///
    /// # Errors
    /// Those of [`Prompt::for_request`](super::scenario::Prompt::for_request).
    pub fn plan(scenario: &Scenario, encode: impl Fn(&str) -> Result<Vec<u32>>) -> Result<Self> {
        let planned = scenario.cases();
        let request = |of: &Planned| Ok(of.request(scenario.prompts[of.prompt].for_request(&encode)?));
        let requests = planned.iter().map(request).collect::<Result<_>>()?;
        Ok(Self { planned, requests, schedule: scenario.schedule() })
    }

    /// Runs, warm-ups included.
    pub fn runs(&self) -> usize {
        self.schedule.len()
    }

    /// Has `make` make every run, in turns, until one fails.
    pub async fn run<E>(self, make: &mut impl AsyncFnMut(Step<'_>) -> Result<Sample, E>) -> MeasuredCases<E> {
        let Self { planned, requests, schedule } = self;
        let tokens = |case: usize| planned[case].case.max_new_tokens;
        let all: usize = schedule.runs().map(|run| tokens(run.case)).sum();
        let mut samples: Vec<Vec<Sample>> = planned.iter().map(|_| Vec::new()).collect();
        let (mut failure, mut done) = (None, 0);
        for (made, run) in schedule.runs().enumerate() {
            let (planned, request) = (&planned[run.case], &requests[run.case]);
            let (warm_up, share) = (run.round.is_none(), done as f64 / all as f64);
            match make(Step { planned, request, warm_up, made, runs: schedule.len(), share }).await {
                Ok(mut sample) => {
                    done += tokens(run.case);
                    (sample.round, sample.order) = (run.round.unwrap_or(0), run.order);
                    if !warm_up {
                        samples[run.case].push(sample);
                    }
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        MeasuredCases { cases: cases(planned, samples), failure }
    }
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

/// Hears a generation's events and keeps what a sample needs.
#[derive(Default)]
pub struct Recorder {
    emissions: Emissions,
    reused_tokens: usize,
}

impl Recorder {
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Started { reused_tokens, .. } => self.reused_tokens = *reused_tokens,
            Event::Emission { token_ids, at_ms, .. } => self.emissions.push(*at_ms, token_ids.len()),
            Event::Round { .. } => {}
        }
    }

    /// The run whose events were heard.
    pub fn sample(self, start: StartState, generation: &Generation) -> Sample {
        let metrics = &generation.metrics;
        Sample {
            round: 0,
            order: 0,
            submitted_at_ms: None,
            before_ms: (start == StartState::Warm).then_some(0.0),
            first_text_ms: metrics.ttft_ms,
            paint_ms: None,
            emissions: self.emissions,
            prompt_tokens: generation.prompt_token_ids.len(),
            reused_tokens: self.reused_tokens,
            finish_reason: generation.finish_reason,
            phases: Phase::known(&metrics.phases_ms, start),
            output_hash: hash::of_tokens(&generation.token_ids),
            repetition: repetition(&generation.prompt_token_ids, &generation.token_ids),
            peak_gpu_bytes: Some(metrics.peak_gpu_bytes),
            speculation: generation.speculation.as_ref().map(Counts::from),
            hidden: None,
            load: None,
        }
    }
}

/// What ran, and where.
pub struct Site {
    pub engine: EngineBuild,
    pub runtime: Runtime,
    pub device: Device,
}

/// When it ran, under which name.
pub struct When {
    pub run_id: String,
    pub started_at: String,
    pub took_ms: f64,
}

impl Report {
    /// Of runs of `scenario`, with all that follows from them.
    pub fn concluded(
        scenario: &Scenario,
        site: Site,
        when: When,
        model: Models,
        costs: Option<Costs>,
        cases: Vec<CaseReport>,
    ) -> Self {
        let Site { engine, runtime, mut device } = site;
        // What a report may hold, so that it can be read again.
        device.label = device.label.chars().take(LONGEST_NAME).collect();
        let When { run_id, started_at, took_ms } = when;
        let mut report = Self {
            schema: SchemaId::current(),
            run_id,
            started_at,
            took_ms: Some(took_ms),
            engine,
            runtime,
            device,
            model,
            protocol: scenario.protocol(),
            speculation: costs.map(|costs| SpeculationSetup { lossless: costs.lossless, costs: Some(costs) }),
            loading: Vec::new(),
            cases,
            ratios: Vec::new(),
            flags: Vec::new(),
        };
        report.conclude();
        report
    }

    /// What says that `scenario` ended early.
    pub fn partial(&self, scenario: &Scenario, why: &str) -> Flag {
        let done: usize = self.cases.iter().map(|of| of.samples.len()).sum();
        let planned = scenario.cases().len() * scenario.runs;
        Flag { kind: FlagKind::Partial, detail: format!("{done} of {planned} planned runs were measured: {why}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{position, quick};
    use understory_protocol::{FinishReason, Method};

    fn sample() -> Sample {
        let mut emissions = Emissions::default();
        emissions.push(1.0, 1);
        Sample {
            round: 0,
            order: 0,
            submitted_at_ms: None,
            before_ms: Some(0.0),
            first_text_ms: Some(1.0),
            paint_ms: None,
            emissions,
            prompt_tokens: 4,
            reused_tokens: 0,
            finish_reason: FinishReason::Length,
            phases: Vec::new(),
            output_hash: String::new(),
            repetition: None,
            peak_gpu_bytes: None,
            speculation: None,
            hidden: None,
            load: None,
        }
    }

    /// Keeping warm-ups, or stopping the progress short of all tokens, fails this.
    #[test]
    fn every_run_is_made_and_warm_ups_are_not_kept() {
        let scenario = Scenario { runs: 2, ..quick() };
        let course = Experiment::plan(&scenario, |_| Ok(vec![])).unwrap();
        let (mut made, mut methods) = (0, Vec::new());
        let measured = pollster::block_on(course.run(&mut async |step: Step<'_>| {
            assert_eq!((step.made, step.runs, step.warm_up), (made, 18, made < 6));
            assert!((step.share - made as f64 / 18.0).abs() < 1e-9);
            made += 1;
            methods.push(step.request.method);
            Ok::<_, ()>(sample())
        }));
        assert!(measured.failure.is_none() && made == 18);
        assert!(measured.cases.iter().all(|of| of.samples.len() == 2 && of.case.prompt.n_tokens == Some(4)));
        let turns: Vec<Method> = methods[6..9].iter().rev().copied().collect();
        assert_eq!(turns, methods[15..], "the second round is not the first in reverse");
    }

    /// What was measured before a failure stays, and cases without a run are left out.
    #[test]
    fn a_failure_keeps_what_was_measured() {
        let scenario = Scenario { warm_up: 0, ..quick() };
        let course = Experiment::plan(&scenario, |_| Ok(vec![])).unwrap();
        let measured = pollster::block_on(
            course.run(&mut async |step: Step<'_>| if step.made < 4 { Ok(sample()) } else { Err(step.made) }),
        );
        assert_eq!((measured.failure, measured.cases.len()), (Some(4), 4));
        assert!(Experiment::plan(&position(), |_| Ok(vec![1])).is_err(), "prompts too short to be cut");
    }
}
