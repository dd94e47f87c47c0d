//! `understory trace`: what was guessed, round by round, and what became of it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use understory_protocol::{Event, FinishReason, GenerateRequest, Generation, Lossless, Method, Round, Speculation};

use super::generate::Report;
use super::{Loaded, load_calibrated, sampling};
use crate::cli::TraceArgs;
use crate::exit::{Stop, usage};
use crate::output::{self, Console};
use crate::{input, methods, timings, tokens, tree};

/// The `--json` report.
#[derive(Serialize)]
struct TraceReport<'a> {
    #[serde(flatten)]
    report: Report<'a>,
    /// as given, before any chat template
    prompt: &'a str,
    rounds: &'a [Round],
    /// the text of every token that occurs, by id
    tokens: &'a BTreeMap<u32, String>,
}

pub fn run(args: &TraceArgs, console: &Console) -> Result<()> {
    let sampling = sampling(&args.run.sampling)?;
    let plan = methods::plan(&args.run)?;
    if plan.method == Method::Ar {
        return Err(usage(
            "--method ar has no rounds to show: give a draft model with --draft, or --method lookup, which needs none",
        ));
    }
    let text = input::prompt(&args.prompt)?;
    pollster::block_on(async {
        let mut loaded = load_calibrated(&plan, &args.run.load, console).await?;
        let request = loaded.request(&args.prompt, text.clone(), args.max_new_tokens, sampling, &plan)?;
        let request = GenerateRequest { trace: true, ..request };
        let mut rounds = Vec::new();
        let mut on_event = |event| {
            if let Event::Round { round, .. } = event {
                rounds.push(round);
            }
            Ok(())
        };
        let generation = loaded.generate(&request, &mut on_event).await?;
        let texts = tokens::texts(loaded.engine.tokenizer(), ids(&generation, &rounds));
        if args.json {
            let report = Report::new(&loaded, plan.method, &generation);
            output::json(&TraceReport { report, prompt: &text, rounds: &rounds, tokens: &texts })?;
        } else {
            show(&loaded, console, &generation, &rounds, &texts)?;
        }
        match generation.finish_reason {
            FinishReason::Cancelled => Err(Stop::Interrupted.into()),
            _ => Ok(()),
        }
    })
}

fn show(
    loaded: &Loaded,
    console: &Console,
    generation: &Generation,
    rounds: &[Round],
    texts: &BTreeMap<u32, String>,
) -> Result<()> {
    if let Some(p) = generation.speculation.as_ref().and_then(|speculation| speculation.synthetic_acceptance) {
        output::text(&format!("{}\n\n", timings::synthetic(p)))?;
    }
    output::styled(&format!("{}\n", tree::draw_all(rounds, texts)))?;
    let speculation = generation.speculation.as_ref();
    let drafts = loaded.draft.is_some() && generation.finish_reason != FinishReason::Cancelled;
    let idle = |s: &Speculation| {
        s.method == Method::Auto && s.rounds == 0 && s.target_passes > 0 && s.lossless != Some(Lossless::Off)
    };
    if drafts && speculation.is_some_and(idle) {
        console.note("auto found nothing worth guessing here; --method tree guesses in every round\n");
    }
    console.note(timings::table(&loaded.subject(), generation).trim_end());
    Ok(())
}

/// Every token that occurs.
fn ids(generation: &Generation, rounds: &[Round]) -> Vec<u32> {
    let nodes = rounds.iter().flat_map(|round| round.nodes.iter().chain(&round.pruned)).map(|node| node.token);
    let emitted = rounds.iter().flat_map(|round| &round.emitted).copied();
    let whole = generation.prompt_token_ids.iter().chain(&generation.token_ids).copied();
    nodes.chain(emitted).chain(whole).collect()
}
