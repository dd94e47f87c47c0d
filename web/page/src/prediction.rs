//! What the page asks about a prediction, as the form has it, and what came back.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{
    Case, FinishReason, GenerateRequest, Precision, PredictReply, PredictRequest, PredictedDevice, PredictedModel,
    Reply, Request,
};

use crate::app::Page;
use crate::definitions as d;
use crate::session::{Ended, Stage};
use crate::settings::Field;
use crate::typed::Typed;

/// Choices that are no names of shapes or devices.
const TARGET: &str = "target";
const DRAFT: &str = "draft";
pub const NONE: &str = "none";
const HERE: &str = "here";

/// After the last change, until it is asked.
const PAUSE: Duration = Duration::from_millis(200);

/// Prompts that this device is measured with, and the tokens that follow each.
const INPUTS: [usize; 8] = [8, 20, 48, 100, 200, 320, 480, 800];
const OUTPUT: usize = 24;
/// Of all sizes; the first one warms up.
const ROUNDS: usize = 4;

/// A choice, and the options that the engine knows, as markup.
#[derive(Clone, Copy)]
pub struct Choice {
    pub value: RwSignal<String>,
    pub options: RwSignal<String>,
}

impl Choice {
    fn new(value: &str) -> Self {
        Self { value: RwSignal::new(value.into()), options: RwSignal::new(format!("<option>{value}</option>")) }
    }
}

#[derive(Clone, Copy)]
pub struct PredictForm {
    pub model: Choice,
    pub draft: Choice,
    pub device: Choice,
    pub dtype: Choice,
    /// input, output, batch, chunk (empty: the device's own), tensor-parallel
    pub sizes: [Field; 5],
    pub acceptance: RwSignal<String>,
    /// what came back
    pub html: RwSignal<String>,
    pub not_here: RwSignal<Option<String>>,
    pub problem: RwSignal<Option<String>>,
    /// how far measuring is
    pub measuring: RwSignal<Option<String>>,
}

impl PredictForm {
    /// The command line's defaults; a model and a device that people have heard of.
    pub fn new() -> Self {
        Self {
            model: Choice::new("llama-3.2-1b"),
            draft: Choice::new(NONE),
            device: Choice::new("apple-m1"),
            dtype: Choice::new(Precision::F16.name()),
            sizes: [
                (&d::INPUT, "512"),
                (&d::OUTPUT, "128"),
                (&d::BATCH, "1"),
                (&d::CHUNK, ""),
                (&d::TENSOR_PARALLEL, "1"),
            ]
            .map(|(of, default)| Field::new(of, default, "1")),
            acceptance: RwSignal::new("0.8".into()),
            html: RwSignal::new(String::new()),
            not_here: RwSignal::new(None),
            problem: RwSignal::new(None),
            measuring: RwSignal::new(None),
        }
    }

    fn request(self, page: Page) -> Result<PredictRequest, String> {
        let model = |name: String| match name.as_str() {
            TARGET => PredictedModel::Target,
            DRAFT => PredictedModel::Draft,
            _ => PredictedModel::Named(name),
        };
        let draft = Some(self.draft.value.get()).filter(|name| name != NONE);
        let dtype = self.dtype.value.get();
        let [input, output, batch, chunk, tensor_parallel] = self.sizes;
        let no_chunk = chunk.value.with(|text| text.trim().is_empty());
        Ok(PredictRequest {
            model: model(self.model.value.get()),
            acceptance: if draft.is_some() { chances(&self.acceptance.get())? } else { vec![] },
            draft: draft.map(model),
            device: match self.device.value.get() {
                name if name == HERE => PredictedDevice::Here,
                name => PredictedDevice::Named(name),
            },
            case: Case {
                dtype: Precision::ALL.into_iter().find(|known| known.name() == dtype).unwrap_or(Precision::F16),
                input: input.read()?,
                output: output.read()?,
                batch: batch.read()?,
                chunk: if no_chunk { None } else { Some(chunk.read()?) },
                tensor_parallel: tensor_parallel.read()?,
                lora: None,
            },
            measured: page.session.requests.get(),
            verify_ms: page
                .session
                .measured
                .with(|m| m.as_ref().map(|m| m.costs.verify_ms.clone()).unwrap_or_default()),
        })
    }
}

/// `0.8, 0.7` or `0.8 0.7`
fn chances(text: &str) -> Result<Vec<f64>, String> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let all: Option<Vec<f64>> = parts.map(f64::read).collect();
    all.ok_or_else(|| format!("acceptance = \"{text}\": expected numbers from 0 to 1 with commas between them"))
}

/// Asks whenever something changes, for as long as the view is there. What the device is timed for is not disturbed.
pub fn follow(page: Page) {
    let form = page.prediction;
    let is_free = Memo::new(move |_| {
        let timed = page.session.stage.with(|stage| matches!(stage, Stage::Generating | Stage::Calibrating));
        page.session.takes_requests.get() && !timed
    });
    let changes = Rc::new(Cell::new(0));
    Effect::new(move || {
        let change = changes.get() + 1;
        changes.set(change);
        let request = form.request(page);
        if !is_free.get() {
            return;
        }
        match request {
            Ok(request) => {
                let changes = changes.clone();
                let if_last = move || {
                    if changes.get() == change {
                        spawn_local(ask(form, page, request));
                    }
                };
                set_timeout(if_last, PAUSE);
            }
            Err(message) => form.problem.set(Some(message)),
        }
    });
}

async fn ask(form: PredictForm, page: Page, request: PredictRequest) {
    match page.session.query(Request::Predict(Box::new(request))).await {
        Ok(Reply::Predicted(reply)) => {
            let PredictReply { models, drafts, devices, dtypes, not_here, html } = *reply;
            form.problem.set(None);
            form.model.options.set(models);
            form.draft.options.set(drafts);
            form.device.options.set(devices);
            form.dtype.options.set(dtypes);
            form.not_here.set(not_here);
            form.html.set(html);
        }
        Err(Ended::Failed(message)) => form.problem.set(Some(message)),
        Ok(_) | Err(Ended::Gone) => {}
    }
}

/// Runs plain requests of several sizes with the loaded target, sizes in turns, and predicts with what they took.
pub fn measure(page: Page) {
    spawn_local(async move {
        let form = page.prediction;
        if let Err(Ended::Failed(message)) = measure_all(page).await {
            form.problem.set(Some(message));
        } else {
            form.model.value.set(TARGET.into());
            form.device.value.set(HERE.into());
        }
        form.measuring.set(None);
    });
}

async fn measure_all(page: Page) -> Result<(), Ended> {
    let context = page.session.loaded.with_untracked(|loaded| loaded.as_ref().map_or(0, |loaded| loaded.context));
    let inputs = || INPUTS.into_iter().filter(|input| input + OUTPUT <= context);
    let before = page.session.requests.get_untracked();
    for round in 0..ROUNDS {
        for (nth, input) in inputs().enumerate() {
            let done = if round == 0 { "warming up".into() } else { format!("round {round} of {}", ROUNDS - 1) };
            page.prediction.measuring.set(Some(format!("Prompts of {input} tokens, {done}")));
            // Begins with another token than the one before, whose keys and values are still there.
            let token = |i: usize| ((i * 37 + nth + 11 * round) % 251 + 1) as u32;
            let request = GenerateRequest::plain((0..input).map(token).collect(), OUTPUT);
            let generation = page.session.generate(request, |_| {}).await?;
            if generation.finish_reason == FinishReason::Cancelled {
                return Err(Ended::Gone);
            }
        }
        if round == 0 {
            page.session.requests.set(before.clone());
        }
    }
    Ok(())
}
