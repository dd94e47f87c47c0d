//! What the comparison found, for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;
use understory_protocol::figures::rounded;
use understory_protocol::foreign::shown;
use understory_protocol::{AdapterReport, Dtype, KernelSet, Lossless, Sampling};

use super::{ChosenToken, Divergence, Outcome, Tally};
use crate::cli::VerifyLosslessArgs;
use crate::commands::Loaded;
use crate::output;
use crate::tokens::quoted;

/// The `--json` report.
#[derive(Serialize)]
pub struct Report<'a> {
    model: &'a str,
    draft: Option<&'a str>,
    device: &'a AdapterReport,
    dtype: Dtype,
    profile: KernelSet,
    /// `seed` is the first one
    sampling: Sampling,
    seeds: usize,
    prompts: usize,
    max_new_tokens: usize,
    lossless: Lossless,
    /// false: Ctrl-C came before all runs were made
    complete: bool,
    methods: &'a [Tally],
    divergences: &'a [Divergence],
}

impl<'a> Report<'a> {
    pub fn new(
        loaded: &'a Loaded,
        args: &VerifyLosslessArgs,
        sampling: Sampling,
        prompts: usize,
        lossless: Lossless,
        outcome: &'a Outcome,
    ) -> Self {
        Self {
            model: &loaded.label,
            draft: loaded.draft.as_deref(),
            device: loaded.device(),
            dtype: loaded.dtype,
            profile: loaded.profile,
            sampling,
            seeds: args.seeds,
            prompts,
            max_new_tokens: args.max_new_tokens,
            lossless,
            complete: outcome.complete,
            methods: &outcome.tallies,
            divergences: &outcome.divergences,
        }
    }
}

/// A table of the methods, then each divergence.
pub fn text(loaded: &Loaded, lossless: Lossless, outcome: &Outcome) -> String {
    let subject = loaded.subject();
    let draft = subject.draft.map_or_else(|| "no draft model".into(), |draft| format!("draft model {draft}"));
    let mut text = format!(
        "{}, {} weights, {draft}, on {} ({}), {} kernels\nself-test: {}\n\n{}",
        subject.model,
        subject.types,
        subject.device.name,
        subject.device.backend,
        subject.profile,
        lossless.meaning(),
        output::columns("<>>>>", &rows(&outcome.tallies)),
    );
    for divergence in &outcome.divergences {
        text.push_str(&paragraph(divergence));
    }
    text
}

/// The last two columns tell whether there was anything to verify.
fn rows(tallies: &[Tally]) -> Vec<Vec<String>> {
    let heading = ["METHOD", "IDENTICAL", "ROUNDS", "NODES A ROUND", "ACCEPTANCE LENGTH"].map(str::to_owned).to_vec();
    let row = |tally: &Tally| {
        let per_round = |n: usize| n as f64 / tally.rounds as f64;
        let [nodes, length] = match tally.rounds {
            0 => ["-"; 2].map(str::to_owned),
            _ => [rounded(per_round(tally.drafted)), rounded(1.0 + per_round(tally.accepted))],
        };
        let identical = format!("{} of {}", tally.identical, tally.runs);
        vec![tally.method.to_string(), identical, tally.rounds.to_string(), nodes, length]
    };
    std::iter::once(heading).chain(tallies.iter().map(row)).collect()
}

fn paragraph(divergence: &Divergence) -> String {
    let Divergence { prompt, seed, method, index, position, plain, speculative, finish_plain, finish_speculative } =
        divergence;
    let mut text = format!(
        "\n{method} differs on prompt {} with seed {seed} at new token {index} (position {position})\n",
        shown(prompt)
    );
    let sides = [("plain", plain, finish_plain), ("speculative", speculative, finish_speculative)];
    for (name, choice, finish) in sides {
        let _ = match choice {
            Some(ChosenToken { token, text: of, logit, rank }) => {
                writeln!(text, "  {name:<11}  {} (token {token}), logit {logit}, rank {rank}", quoted(of))
            }
            None => writeln!(text, "  {name:<11}  had ended here: {finish:?}"),
        };
    }
    if let (Some(plain), Some(speculative)) = (plain, speculative) {
        let _ = writeln!(text, "  gap          {:e}", plain.logit - speculative.logit);
    }
    text
}

#[cfg(test)]
mod tests {
    use understory_protocol::{FinishReason, Method};

    use super::*;

    #[test]
    fn a_divergence_names_both_sides() {
        let choice = |token, logit, rank| Some(ChosenToken { token, text: format!(" t{token}"), logit, rank });
        let mut divergence = Divergence {
            prompt: "fox".into(),
            seed: 3,
            method: Method::Linear { k: 2 },
            index: 4,
            position: 10,
            plain: choice(8, 1.5, 1),
            speculative: choice(9, 1.25, 2),
            finish_plain: FinishReason::Length,
            finish_speculative: FinishReason::Length,
        };
        let text = paragraph(&divergence);
        let words =
            ["linear (k 2)", "prompt fox", "seed 3", "position 10", "\" t8\" (token 8), logit 1.5, rank 1", "2.5e-1"];
        for word in words {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
        divergence.speculative = None;
        divergence.finish_speculative = FinishReason::Eos;
        assert!(paragraph(&divergence).contains("speculative  had ended here: Eos"), "{}", paragraph(&divergence));
    }
}
