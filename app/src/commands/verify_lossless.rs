//! `understory verify-lossless`: every method against plain decoding, token for token.

pub(super) mod prompts;
mod report;

use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use understory_protocol::foreign::shown;
use understory_protocol::{FinishReason, GenerateRequest, Generation, Lossless, Method, Prompt, Sampling};

use self::prompts::NamedPrompt;
use super::{Loaded, load, sampling};
use crate::cli::{MethodName, VerifyLosslessArgs};
use crate::exit::{Stop, usage};
use crate::interrupt::{self, Mode};
use crate::output::{self, Console};
use crate::{calibration, methods};

/// One method over all runs.
#[derive(Clone, Debug, Serialize)]
struct Tally {
    method: Method,
    runs: usize,
    /// runs with plain decoding's tokens and end
    identical: usize,
    rounds: usize,
    drafted: usize,
    accepted: usize,
}

/// What was compared.
struct Outcome {
    tallies: Vec<Tally>,
    divergences: Vec<Divergence>,
    /// false: Ctrl-C came before the end
    complete: bool,
}

/// The first difference of a run from plain decoding.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Divergence {
    prompt: String,
    seed: u64,
    method: Method,
    /// of the new token, from 0
    index: usize,
    /// of the same in the sequence, prompt included
    position: usize,
    /// `None`: the text had ended here
    plain: Option<ChosenToken>,
    speculative: Option<ChosenToken>,
    finish_plain: FinishReason,
    finish_speculative: FinishReason,
}

/// A token among the target's logits after the tokens that both runs share.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ChosenToken {
    token: u32,
    text: String,
    logit: f32,
    /// 1: no logit is larger
    rank: usize,
}

pub fn run(args: &VerifyLosslessArgs, console: &Console) -> Result<()> {
    let sampling = sampling(&args.sampling)?;
    if args.seeds > 1 && sampling.temperature == 0.0 {
        return Err(usage("--seeds needs --temperature above 0: greedy text does not depend on the seed"));
    }
    let draft = methods::draft(&args.draft, &args.load.model);
    let methods = chosen(args, draft.as_deref())?;
    let prompts = prompts::read(args.prompts.as_deref())?;
    pollster::block_on(async {
        let mut loaded = load(&args.load, draft.as_deref(), console).await?;
        let lossless = calibration::calibrate(&mut loaded.engine, false).await?.costs.lossless;
        let bar = console.bar();
        interrupt::set_mode(Mode::Generating)?;
        let outcome = compare(args, &prompts, sampling, &methods, &mut loaded, &bar).await;
        interrupt::set_mode(Mode::Exit)?;
        bar.finish_and_clear();
        let outcome = outcome?;
        if args.json {
            output::json(&report::Report::new(&loaded, args, sampling, prompts.len(), lossless, &outcome))?;
        } else {
            output::text(&report::text(&loaded, lossless, &outcome))?;
        }
        let Outcome { tallies, divergences, complete } = outcome;
        let runs: usize = tallies.iter().map(|tally| tally.runs).sum();
        if !complete {
            console.note(&format!("interrupted after {runs} of {} runs", prompts.len() * args.seeds * methods.len()));
        }
        if !divergences.is_empty() {
            bail!("{} of {runs} runs differ from plain decoding", divergences.len());
        }
        if lossless == Lossless::Off {
            bail!("the self-test failed on this device: nothing was speculated, so the runs prove nothing");
        }
        let idle: Vec<_> = tallies.iter().filter(|tally| tally.rounds == 0).map(|tally| tally.method.name()).collect();
        if complete && idle.len() == tallies.len() {
            bail!("no method guessed anything in these runs, so they prove nothing: try more tokens or other prompts");
        }
        if !idle.is_empty() {
            console.note(&format!("no guess by {}: these runs prove nothing about it", idle.join(", ")));
        }
        if complete { Ok(()) } else { Err(Stop::Interrupted.into()) }
    })
}

/// The methods asked for, or all that go with `draft`.
fn chosen(args: &VerifyLosslessArgs, draft: Option<&str>) -> Result<Vec<Method>> {
    const ALL: [MethodName; 6] = [
        MethodName::Linear,
        MethodName::Tree,
        MethodName::Dynatree,
        MethodName::Assisted,
        MethodName::Lookup,
        MethodName::Auto,
    ];
    let names = if args.methods.is_empty() {
        ALL.into_iter().filter(|name| draft.is_some() || !name.needs_draft()).collect()
    } else {
        args.methods.clone()
    };
    for (nth, &name) in names.iter().enumerate() {
        methods::check_draft(name, draft)?;
        if name == MethodName::Ar {
            return Err(usage("--methods ar: that is plain decoding itself, with which the others are compared"));
        }
        if names[..nth].contains(&name) {
            return Err(usage(format!("--methods names {} twice", name.as_str())));
        }
    }
    Ok(names.into_iter().flat_map(methods::defaults).collect())
}

/// Runs everything, or as much as there was before Ctrl-C.
async fn compare(
    args: &VerifyLosslessArgs,
    prompts: &[NamedPrompt],
    sampling: Sampling,
    methods: &[Method],
    loaded: &mut Loaded,
    bar: &ProgressBar,
) -> Result<Outcome> {
    let tally = |&method| Tally { method, runs: 0, identical: 0, rounds: 0, drafted: 0, accepted: 0 };
    let mut outcome =
        Outcome { tallies: methods.iter().map(tally).collect(), divergences: Vec::new(), complete: false };
    bar.set_style(output::bar_style("{pos}/{len}"));
    bar.set_length((prompts.len() * args.seeds * (1 + methods.len())) as u64);
    for prompt in prompts {
        for seed in (0..args.seeds as u64).map(|nth| sampling.seed.wrapping_add(nth)) {
            let mut request = GenerateRequest {
                prompt: Prompt::Text(prompt.text.clone()),
                max_new_tokens: args.max_new_tokens,
                ignore_eos: args.ignore_eos,
                stop: Vec::new(),
                sampling: Sampling { seed, ..sampling },
                method: Method::Ar,
                synthetic_acceptance: None,
                trace: false,
            };
            bar.set_message(format!("{}, ar", shown(&prompt.id)));
            let named = || format!("prompt {}", prompt.id);
            let Some(plain) = generate(loaded, &request).await.with_context(named)? else { return Ok(outcome) };
            bar.inc(1);
            for tally in &mut outcome.tallies {
                request.method = tally.method;
                bar.set_message(format!("{}, {}", shown(&prompt.id), tally.method));
                let Some(run) = generate(loaded, &request).await.with_context(named)? else { return Ok(outcome) };
                bar.inc(1);
                tally.add(&run);
                tracing::info!(prompt = prompt.id, method = %tally.method, "a run was compared");
                match first_difference(&plain, &run) {
                    None => tally.identical += 1,
                    Some(index) => {
                        outcome.divergences.push(explain(loaded, prompt, &request, &plain, &run, index).await?);
                    }
                }
            }
        }
    }
    outcome.complete = true;
    Ok(outcome)
}

/// One run that starts with nothing in the KV cache, as every other. `None`: Ctrl-C ended it.
async fn generate(loaded: &mut Loaded, request: &GenerateRequest) -> Result<Option<Generation>> {
    loaded.engine.clear_cache();
    let mut go_on = |_| if interrupt::cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let run = loaded.engine.generate(request, &mut go_on).await?;
    Ok((!interrupt::cancelled()).then_some(run))
}

impl Tally {
    fn add(&mut self, run: &Generation) {
        self.runs += 1;
        if let Some(speculation) = &run.speculation {
            self.rounds += speculation.rounds;
            self.drafted += speculation.drafted;
            self.accepted += speculation.accepted;
        }
    }
}

/// Index of the first new token that differs, or of the end where one text ends before the other or for another
/// reason.
fn first_difference(plain: &Generation, run: &Generation) -> Option<usize> {
    let (a, b) = (&plain.token_ids, &run.token_ids);
    let differs = a != b || plain.finish_reason != run.finish_reason;
    differs.then(|| a.iter().zip(b).take_while(|(a, b)| a == b).count())
}

/// The difference with the target's logits after the tokens before it, a row at a time as in plain decoding.
async fn explain(
    loaded: &mut Loaded,
    prompt: &NamedPrompt,
    request: &GenerateRequest,
    plain: &Generation,
    run: &Generation,
    index: usize,
) -> Result<Divergence> {
    let before: Vec<u32> = plain.prompt_token_ids.iter().chain(&plain.token_ids[..index]).copied().collect();
    let logits = loaded.engine.logits(&before, 1).await?;
    let vocabulary = loaded.engine.config().vocab_size;
    let row = &logits[logits.len() - vocabulary..];
    let choice = |run: &Generation| {
        let token = *run.token_ids.get(index)?;
        let logit = row[token as usize];
        let rank = 1 + row.iter().filter(|&&other| other > logit).count();
        Some(ChosenToken { token, text: loaded.engine.tokenizer().shown(token), logit, rank })
    };
    Ok(Divergence {
        prompt: prompt.id.clone(),
        seed: request.sampling.seed,
        method: request.method,
        index,
        position: before.len(),
        plain: choice(plain),
        speculative: choice(run),
        finish_plain: plain.finish_reason,
        finish_speculative: run.finish_reason,
    })
}

#[cfg(test)]
mod tests {
    use understory_protocol::Metrics;

    use super::*;

    fn generation(token_ids: &[u32], finish_reason: FinishReason) -> Generation {
        Generation {
            prompt_token_ids: vec![1],
            token_ids: token_ids.to_vec(),
            text: String::new(),
            finish_reason,
            sampling: Sampling::default(),
            metrics: Metrics::default(),
            speculation: None,
        }
    }

    /// A comparison of the common part alone misses the last two.
    #[test]
    fn a_difference_is_a_token_a_length_or_an_end() {
        let plain = generation(&[5, 6, 7], FinishReason::Length);
        let difference = |ids: &[u32], finish| first_difference(&plain, &generation(ids, finish));
        assert_eq!(difference(&[5, 6, 7], FinishReason::Length), None);
        assert_eq!(difference(&[5, 9, 7], FinishReason::Length), Some(1));
        assert_eq!(difference(&[5, 6], FinishReason::Length), Some(2));
        assert_eq!(difference(&[5, 6, 7, 8], FinishReason::Length), Some(3));
        assert_eq!(difference(&[5, 6, 7], FinishReason::Eos), Some(3));
    }
}
