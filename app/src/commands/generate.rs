//! `understory generate`: one prompt, one text.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use serde::Serialize;
use understory_engine::Dtype;
use understory_engine::gpu::{AdapterReport, Profile};
use understory_engine::protocol::{ChatMessage, Event, FinishReason, GenerateRequest, Generation, Prompt};

use super::{Loaded, load};
use crate::cli::GenerateArgs;
use crate::exit::{Stop, usage};
use crate::input;
use crate::interrupt::{self, Mode};
use crate::output::{self, Console};
use crate::timings;

/// The `--json` report.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    device: &'a AdapterReport,
    dtype: Dtype,
    profile: Profile,
    /// how tokens are found: `ar`, one after the other
    method: &'static str,
    #[serde(flatten)]
    generation: &'a Generation,
}

pub fn run(args: &GenerateArgs, console: &Console) -> Result<()> {
    let sampling = args.sampling.sampling();
    sampling.validate().map_err(|error| usage(error.to_string()))?;
    let text = input::prompt(args.prompt.as_deref(), args.prompt_file.as_deref())?;
    pollster::block_on(async {
        let mut loaded = load(&args.load, console).await?;
        let request = GenerateRequest {
            prompt: prompt(args, &loaded, text)?,
            max_new_tokens: args.max_new_tokens,
            ignore_eos: args.ignore_eos,
            stop: args.stop.clone(),
            sampling,
        };
        let generation = stream(&mut loaded, &request, !args.json).await?;
        report(args, console, &loaded, &generation)?;
        match generation.finish_reason {
            FinishReason::Cancelled => Err(Stop::Interrupted.into()),
            _ => Ok(()),
        }
    })
}

fn prompt(args: &GenerateArgs, loaded: &Loaded, text: String) -> Result<Prompt> {
    let has_template = loaded.engine.chat_template().is_some();
    if args.chat && !has_template {
        bail!("{} has no chat template; leave out --chat to continue the text as it is", loaded.label);
    }
    Ok(if has_template && !args.raw {
        Prompt::Chat(vec![ChatMessage { role: "user".into(), content: text }])
    } else {
        Prompt::Text(text)
    })
}

/// Generates and, if `show`, writes each piece of text as it comes.
async fn stream(loaded: &mut Loaded, request: &GenerateRequest, show: bool) -> Result<Generation> {
    interrupt::set_mode(Mode::Generating)?;
    let mut written = Ok(());
    let mut on_event = |event| {
        if let Event::Emission { text, .. } = event
            && show
            && !text.is_empty()
        {
            written = output::text(&text);
        }
        if written.is_err() || interrupt::cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = loaded.engine.generate(request, &mut on_event).await;
    interrupt::set_mode(Mode::Exit)?;
    written?;
    let generation = result?;
    // A terminal's next line must not begin behind the text; a file or a pipe gets the text and nothing else.
    if show && output::stdout_is_terminal() {
        output::text("\n")?;
    }
    Ok(generation)
}

fn report(args: &GenerateArgs, console: &Console, loaded: &Loaded, generation: &Generation) -> Result<()> {
    let profile = args.load.profile.map_or(loaded.device().profile, Into::into);
    if args.json {
        let (model, device, dtype) = (loaded.label.as_str(), loaded.device(), loaded.dtype);
        return output::json(&Report { model, device, dtype, profile, method: "ar", generation });
    }
    console.note(&format!("\n{}", timings::table(&loaded.subject(profile), generation).trim_end()));
    Ok(())
}
