//! The runs: every prompt with every length, in the schedule's order.

use anyhow::{Result, bail};
use understory_lab::position::{Memory, Trace, kv_bytes_per_token};
use understory_lab::report::Emissions;
use understory_lab::scenario::{self, Prompt, Scenario};
use understory_protocol::foreign::shown;
use understory_protocol::{Event, FinishReason, GenerateRequest};
use understory_runtime::bench::copy_bandwidth;

use super::Subject;
use crate::cli::LatencyArgs;
use crate::commands::{Loaded, load};
use crate::exit::{Stop, usage};
use crate::output::{self, Console};

pub async fn measure(args: &LatencyArgs, console: &Console) -> Result<(Subject, Vec<Trace>, Memory)> {
    let scenario = scenario(args)?;
    let mut loaded = load(&args.load, None, console).await?;
    let longest = args.prefill.iter().max().unwrap_or(&0) + args.lengths.iter().max().unwrap_or(&0);
    let context = loaded.engine.config().max_position_embeddings;
    if longest > context {
        return Err(usage(format!(
            "the longest prompt and output have {longest} tokens together; {} has a context of {context}: give smaller \
             --prefill or --lengths",
            loaded.label
        )));
    }
    let traces = traces(&scenario, &mut loaded, console).await?;
    let bandwidth_gb_per_s = match args.bandwidth {
        Some(rate) => Some(rate),
        None => Some(copy_bandwidth(loaded.engine.gpu()).await?.value),
    };
    let memory = Memory {
        kv_bytes_per_token: Some(kv_bytes_per_token(loaded.engine.config(), loaded.engine.kv_dtype())),
        bandwidth_gb_per_s,
    };
    let device = loaded.device();
    let subject = Subject {
        model: loaded.label.clone(),
        dtype: loaded.dtype,
        device: format!("{} ({})", device.name, device.backend),
        software: device.software,
        report: None,
    };
    Ok((subject, traces, memory))
}

/// The built-in one, with the lengths that are asked for.
fn scenario(args: &LatencyArgs) -> Result<Scenario> {
    let ascending = |list: &[usize]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list.dedup();
        list
    };
    let text = scenario::long_text();
    let cut = |tokens: usize| Prompt { id: format!("first-{tokens}"), text: text.clone(), tokens: Some(tokens) };
    let scenario = Scenario {
        prompts: ascending(&args.prefill).into_iter().map(cut).collect(),
        lengths: ascending(&args.lengths),
        runs: args.runs,
        ..scenario::position()
    };
    scenario.validate()?;
    Ok(scenario)
}

async fn traces(scenario: &Scenario, loaded: &mut Loaded, console: &Console) -> Result<Vec<Trace>> {
    let planned = scenario.cases();
    let mut requests = Vec::new();
    for of in &planned {
        let tokenizer = loaded.engine.tokenizer();
        requests.push(of.request(scenario.prompts[of.prompt].for_request(|text| tokenizer.encode(text, true))?));
    }
    let schedule = scenario.schedule();
    let bar = console.bar();
    bar.set_style(output::bar_style("{pos}/{len}"));
    bar.set_length(schedule.len() as u64);
    let mut traces = Vec::new();
    for run in schedule.runs() {
        let case = &planned[run.case].case;
        let what = if run.round.is_none() { "warm-up" } else { "steps" };
        bar.set_message(format!("{what}: {}, {} tokens", shown(&case.prompt.id), case.max_new_tokens));
        let (prefill, emissions) = one(loaded, &requests[run.case]).await?;
        if let Some(round) = run.round {
            traces.extend(Trace::of_emissions(prefill, round, &emissions));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if traces.is_empty() {
        bail!("no run gave a second token");
    }
    Ok(traces)
}

/// One run with nothing in the KV cache: tokens of its prompt, and when its own were read.
async fn one(loaded: &mut Loaded, request: &GenerateRequest) -> Result<(usize, Emissions)> {
    loaded.engine.clear_cache();
    let mut emissions = Emissions::default();
    let mut on_event = |event| {
        if let Event::Emission { token_ids, at_ms, .. } = event {
            emissions.push(at_ms, token_ids.len());
        }
        Ok(())
    };
    let generation = loaded.generate(request, &mut on_event).await?;
    match generation.finish_reason {
        FinishReason::Cancelled => Err(Stop::Interrupted.into()),
        _ => Ok((generation.prompt_token_ids.len(), emissions)),
    }
}
