//! `understory generate`: one prompt, one text.

use anyhow::Result;
use serde::Serialize;
use understory_protocol::{AdapterReport, Dtype, Event, FinishReason, GenerateRequest, Generation, KernelSet, Method};

use super::{Loaded, load_for, sampling};
use crate::cli::GenerateArgs;
use crate::exit::Stop;
use crate::output::{self, Console};
use crate::{calibration, conversation, input, methods, timings};

/// The `--json` report.
#[derive(Serialize)]
pub struct Report<'a> {
    model: &'a str,
    draft: Option<&'a str>,
    device: &'a AdapterReport,
    dtype: Dtype,
    profile: KernelSet,
    /// how tokens are found
    method: Method,
    /// `measured` or `synthetic`: whether the target decided what was accepted; `None` with nothing drafted
    acceptance: Option<&'static str>,
    #[serde(flatten)]
    generation: &'a Generation,
}

impl<'a> Report<'a> {
    pub fn new(loaded: &'a Loaded, method: Method, generation: &'a Generation) -> Self {
        let acceptance = generation.speculation.as_ref().map(|speculation| match speculation.synthetic_acceptance {
            None => "measured",
            Some(_) => "synthetic",
        });
        let (model, draft, device) = (loaded.label.as_str(), loaded.draft.as_deref(), loaded.device());
        Self { model, draft, device, dtype: loaded.dtype, profile: loaded.profile, method, acceptance, generation }
    }
}

pub fn run(args: &GenerateArgs, console: &Console) -> Result<()> {
    let sampling = sampling(&args.run.sampling)?;
    let plan = methods::plan(&args.run)?;
    let conversation = args.messages.as_deref().map(conversation::read).transpose()?;
    let text = if conversation.is_some() { String::new() } else { input::prompt(&args.prompt)? };
    pollster::block_on(async {
        let mut loaded = load_for(&plan, &args.run.load, console).await?;
        let mut request = loaded.request(&args.prompt, text, args.max_new_tokens, sampling, &plan)?;
        request.prompt = match conversation {
            Some(conversation) => conversation,
            None => conversation::with_template_args(request.prompt, &args.template.args)?,
        };
        let generation = stream(&mut loaded, &request, !args.json).await?;
        if args.json {
            output::json(&Report::new(&loaded, plan.method, &generation))?;
        } else {
            console.note(&format!("\n{}", timings::table(&loaded.subject(), &generation).trim_end()));
            // --quiet does not hide that the text is not the target's.
            if let Some(p) = plan.synthetic_acceptance.filter(|_| console.quiet) {
                output::hint(&format!("{}\n", timings::synthetic(p)));
            }
        }
        let interrupted = generation.finish_reason == FinishReason::Cancelled;
        if plan.method == Method::Auto {
            if !interrupted {
                calibration::linger(&mut loaded.engine).await;
            }
            calibration::keep(&loaded.engine);
        }
        if interrupted { Err(Stop::Interrupted.into()) } else { Ok(()) }
    })
}

/// Generates and, if `show`, writes each piece of text as it comes.
async fn stream(loaded: &mut Loaded, request: &GenerateRequest, show: bool) -> Result<Generation> {
    let mut on_event = |event| match event {
        Event::Emission { text, .. } if show && !text.is_empty() => output::generated(&text),
        _ => Ok(()),
    };
    let generation = loaded.generate(request, &mut on_event).await?;
    // A terminal's next line must not begin behind the text; a file or a pipe gets the text and nothing else.
    if show && output::stdout_is_terminal() {
        output::text("\n")?;
    }
    Ok(generation)
}
