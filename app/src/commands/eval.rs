//! `understory eval`: how well a model predicts a text.

use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;
use understory_protocol::figures::rounded;
use understory_protocol::{AdapterReport, Dtype, Evaluation};

use super::{Loaded, load};
use crate::cli::EvalArgs;
use crate::input;
use crate::output::{self, Console};

/// The `--json` report.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    device: &'a AdapterReport,
    dtype: Dtype,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    eval_ms: f64,
}

pub fn run(args: &EvalArgs, console: &Console) -> Result<()> {
    let text = input::text_file(&args.text_file)?;
    if text.is_empty() {
        bail!("{} is empty: there is nothing to measure", args.text_file.display());
    }
    pollster::block_on(async {
        let mut loaded = load(&args.load, None, console).await?;
        let start = Instant::now();
        let mut bar = console.engine_progress();
        let evaluation = loaded.engine.evaluate(&text, &mut |progress| bar.show(progress)).await?;
        drop(bar);
        report(args, &loaded, &evaluation, start.elapsed().as_secs_f64() * 1000.0)
    })
}

fn report(args: &EvalArgs, loaded: &Loaded, evaluation: &Evaluation, eval_ms: f64) -> Result<()> {
    if args.json {
        let (model, device, dtype) = (loaded.label.as_str(), loaded.device(), loaded.dtype);
        return output::json(&Report { model, device, dtype, evaluation, eval_ms });
    }
    let tokens = evaluation.token_ids.len();
    output::text(&format!(
        "tokens      {tokens}\nmean NLL    {:.6} nats a token\nperplexity  {:.4}\ntime        {} ms ({} tokens/s)\n",
        evaluation.mean_nll,
        evaluation.perplexity,
        rounded(eval_ms),
        rounded(tokens as f64 * 1000.0 / eval_ms)
    ))
}
