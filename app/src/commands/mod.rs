//! One module a subcommand, and what those that run a model share.

pub mod bench;
pub mod calibrate;
pub mod chat;
pub mod compare;
pub mod devices;
pub mod eval;
pub mod generate;
pub mod kernels;
pub mod latency;
pub mod models;
pub mod predict;
pub mod reports;
pub mod serve;
pub mod trace;
pub mod verify_lossless;

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use understory_protocol::{
    AdapterReport, ChatMessage, Dtype, Event, GenerateRequest, Generation, KernelSet, Method, Prompt, Sampling,
};
use understory_runtime::Engine;
use understory_runtime::gpu::Gpu;

use crate::calibration;
use crate::cli::{LoadArgs, PromptArgs, SamplingArgs};
use crate::exit::usage;
use crate::folders;
use crate::interrupt::{self, Mode};
use crate::methods::Plan;
use crate::models::{Found, find};
use crate::output::Console;
use crate::timings::Subject;

/// A model on a device, ready to run, perhaps with a draft model.
pub struct Loaded {
    pub label: String,
    pub draft: Option<String>,
    pub dtype: Dtype,
    /// types of the weights on the device
    pub types: String,
    pub profile: KernelSet,
    pub engine: Engine,
}

/// Finds, reads and uploads the model that `args` names, and the draft model `draft`.
pub async fn load(args: &LoadArgs, draft: Option<&str>, console: &Console) -> Result<Loaded> {
    // Both are found before the long work begins.
    let Found { label, files } = find(&args.model, args.offline, console)?;
    let draft = draft.map(|name| find(name, args.offline, console)).transpose().context("--draft")?;
    let start = Instant::now();
    let mut gpu = Gpu::open(args.device).await?;
    if let Some(folder) = folders::cache() {
        gpu.keep_pipelines_in(&folder);
    }
    let device_ms = start.elapsed().as_secs_f64() * 1000.0;
    tracing::info!(adapter = gpu.report().name, why = gpu.report().why, "device open");
    let options = args.options();
    let mut bar = console.engine_progress();
    let opened = Engine::open(gpu, files.as_ref(), &options, &mut |progress| bar.show(progress)).await;
    let mut engine = opened.with_context(|| format!("model {label}"))?;
    if let Some(draft) = &draft {
        let loaded = engine.load_draft(draft.files.as_ref(), &options, &mut |progress| bar.show(progress)).await;
        loaded.with_context(|| format!("draft model {}", draft.label))?;
        let context = engine.config().max_position_embeddings;
        if let Some(shorter) = engine.draft_config().map(|c| c.max_position_embeddings).filter(|&n| n < context) {
            console.note(&format!(
                "draft model {} holds {shorter} tokens of context, {label} {context}: it guesses nothing near {shorter} and \
                 beyond",
                draft.label
            ));
        }
    }
    let phases = engine.phases_mut();
    phases.process_start = console.process_start_ms;
    phases.device.get_or_insert(device_ms);
    let profile = engine.kernel_set();
    let types = engine.weight_types().join(", ");
    Ok(Loaded { label, draft: draft.map(|draft| draft.label), dtype: options.dtype, types, profile, engine })
}

/// [`load`] for `plan`. A method that was asked for by its name is to run from the first token on, and waits for what it
/// needs to know. `auto` begins almost at once, with costs that are kept or without any.
pub async fn load_for(plan: &Plan, args: &LoadArgs, console: &Console) -> Result<Loaded> {
    if plan.method != Method::Auto || plan.synthetic_acceptance.is_some() {
        return load_calibrated(plan, args, console).await;
    }
    let mut loaded = load(args, plan.draft.as_deref(), console).await?;
    calibration::begin(&mut loaded.engine).await;
    Ok(loaded)
}

/// [`load`] for `plan`, with the costs that its method needs to know.
pub async fn load_calibrated(plan: &Plan, args: &LoadArgs, console: &Console) -> Result<Loaded> {
    let mut loaded = load(args, plan.draft.as_deref(), console).await?;
    if plan.method != Method::Ar {
        calibration::calibrate(&mut loaded.engine, false).await?;
    }
    Ok(loaded)
}

impl Loaded {
    pub fn device(&self) -> &AdapterReport {
        self.engine.gpu().report()
    }

    pub fn subject(&self) -> Subject<'_> {
        let (model, draft) = (self.label.as_str(), self.draft.as_deref());
        Subject { model, draft, types: &self.types, profile: self.profile.name(), device: self.device() }
    }

    /// The request that `args` and `plan` make of `text`.
    pub fn request(
        &self,
        args: &PromptArgs,
        text: String,
        max_new_tokens: usize,
        sampling: Sampling,
        plan: &Plan,
    ) -> Result<GenerateRequest> {
        let has_template = self.engine.chat_template().is_some();
        if args.chat && !has_template {
            bail!("{} has no chat template; leave out --chat to continue the text as it is", self.label);
        }
        let prompt = if has_template && !args.raw {
            Prompt::Chat(vec![ChatMessage { role: "user".into(), content: text }])
        } else {
            Prompt::Text(text)
        };
        Ok(GenerateRequest {
            prompt,
            max_new_tokens,
            ignore_eos: args.ignore_eos,
            stop: args.stop.clone(),
            sampling,
            method: plan.method,
            synthetic_acceptance: plan.synthetic_acceptance,
            trace: false,
        })
    }

    /// Generates. An error of `on_event` ends it; Ctrl-C does too, and what was made so far is the result
    /// ([`FinishReason::Cancelled`](understory_protocol::FinishReason::Cancelled)).
    pub async fn generate(
        &mut self,
        request: &GenerateRequest,
        on_event: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Generation> {
        interrupt::set_mode(Mode::Generating)?;
        let mut handled = Ok(());
        let mut on_event = |event| {
            if handled.is_ok() {
                handled = on_event(event);
            }
            if handled.is_err() || interrupt::cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let result = self.engine.resume(request, &[], &interrupt::cancelled, &mut on_event).await;
        interrupt::set_mode(Mode::Exit)?;
        handled?;
        Ok(result?)
    }
}

/// The sampling parameters that `args` give.
///
/// # Errors
/// A usage error names the first that is out of range, or that would be ignored silently.
pub fn sampling(args: &SamplingArgs) -> Result<Sampling> {
    let sampling = args.sampling();
    sampling.validate().map_err(|error| usage(error.to_string()))?;
    let off = Sampling::default();
    let given = [
        ("--top-k", sampling.top_k != off.top_k),
        ("--top-p", sampling.top_p != off.top_p),
        ("--min-p", sampling.min_p != off.min_p),
    ];
    if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given && sampling.temperature == 0.0) {
        return Err(usage(format!(
            "{flag} needs --temperature above 0: at 0 the most likely token is always taken, whichever others are kept"
        )));
    }
    Ok(sampling)
}
