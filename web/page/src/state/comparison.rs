//! Plain decoding and a method over the same prompt, in turns.

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{FinishReason, GenerateRequest, Generation, Method, Prompt};

use super::live::Live;
use super::session::Ended;
use crate::platform::{clock, visibility};
use crate::wording::format;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// plain decoding
    A,
    /// the method
    B,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::A => "A",
            Side::B => "B",
        }
    }
}

/// A device that drifts favours neither side.
pub const ORDER: [Side; 4] = [Side::A, Side::B, Side::B, Side::A];

/// Tokens of the runs that come first and do not count: the first one of a kind makes its pipelines ready.
const WARM_UP_TOKENS: usize = 8;

#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// which engine wrote
    pub engine: String,
    pub prompt: String,
    pub method: Method,
    /// those that are finished, in their order
    pub runs: Vec<Generation>,
    /// `None`: nothing runs
    pub under_way: Option<ComparisonStep>,
    /// The tab was hidden at some moment of it.
    pub hidden: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonStep {
    WarmUp,
    /// index in [`ORDER`]
    Run(usize),
}

impl Comparison {
    pub fn of(&self, side: Side) -> impl Iterator<Item = &Generation> {
        self.runs.iter().zip(ORDER).filter(move |(_, of)| *of == side).map(|(run, _)| run)
    }

    /// Mean over the runs of a side; `None` until one is finished.
    pub fn tpot_ms(&self, side: Side) -> Option<f64> {
        let all: Option<Vec<f64>> = self.of(side).map(|run| run.metrics.tpot_ms).collect();
        all.filter(|all| !all.is_empty()).map(|all| all.iter().sum::<f64>() / all.len() as f64)
    }

    pub fn ratio(&self) -> Option<f64> {
        Some(self.tpot_ms(Side::A)? / self.tpot_ms(Side::B)?)
    }

    pub fn is_complete(&self) -> bool {
        self.runs.len() == ORDER.len()
    }

    /// The index of the first token in which a run differs from the first run, over all runs.
    pub fn first_difference(&self) -> Option<usize> {
        let (first, others) = self.runs.split_first()?;
        let difference = |run: &Generation| {
            let (a, b) = (&first.token_ids, &run.token_ids);
            let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            (same < a.len().max(b.len())).then_some(same)
        };
        others.iter().filter_map(difference).min()
    }
}

/// The comparison on show, and what it runs with.
#[derive(Clone, Copy)]
pub struct ComparisonRuns {
    pub shown: RwSignal<Comparison>,
    live: Live,
}

impl ComparisonRuns {
    /// Takes settings from, and tells problems to, the form that `live` has.
    pub fn new(live: Live) -> Self {
        Self { shown: RwSignal::new(Comparison::default()), live }
    }

    /// Starts the runs; what is wrong with the settings becomes the problem.
    pub fn start(self) {
        let Live { session, settings, problem, .. } = self.live;
        let prompt = settings.prompt.get_untracked();
        match settings.request(Prompt::Text(prompt.clone())) {
            Ok(request) => {
                problem.set(None);
                self.shown.set(Comparison {
                    engine: session.engine(),
                    prompt,
                    method: request.method,
                    under_way: Some(ComparisonStep::WarmUp),
                    ..Comparison::default()
                });
                let begun_ms = clock::now_ms();
                spawn_local(async move {
                    if let Err(ended) = self.run(&request).await
                        && let Some(notice) = session.explain(ended)
                    {
                        problem.set(Some(notice));
                    }
                    self.shown.update(|comparison| {
                        comparison.under_way = None;
                        comparison.hidden = visibility::hidden_since(begun_ms);
                    });
                });
            }
            Err(message) => problem.set(Some(message.into())),
        }
    }

    async fn run(self, request: &GenerateRequest) -> Result<(), Ended> {
        let session = self.live.session;
        let of = |side| match side {
            Side::A => GenerateRequest { method: Method::Ar, ..request.clone() },
            Side::B => request.clone(),
        };
        for side in [Side::A, Side::B] {
            let most = WARM_UP_TOKENS.min(request.max_new_tokens);
            let warm_up = GenerateRequest { max_new_tokens: most, ..of(side) };
            if session.generate(warm_up, |_| {}).await?.finish_reason == FinishReason::Cancelled {
                return Ok(());
            }
        }
        for (index, side) in ORDER.into_iter().enumerate() {
            self.shown.update(|comparison| comparison.under_way = Some(ComparisonStep::Run(index)));
            let generation = session.generate(of(side), |_| {}).await?;
            if generation.finish_reason == FinishReason::Cancelled {
                return Ok(());
            }
            self.shown.update(|comparison| comparison.runs.push(generation));
        }
        self.shown.with_untracked(|comparison| {
            let same = if comparison.first_difference().is_none() { "identical" } else { "different" };
            let ratio = format::number(comparison.ratio());
            self.live.announcer.say(format!("Finished: the texts are {same}, the speed ratio is {ratio}."));
        });
        Ok(())
    }
}
