//! What the page asks about a prediction, as the form has it, and what came back.

use std::str::FromStr;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_engine::predict::{Case, Precision};
use understory_engine::protocol::{
    FinishReason, GenerateRequest, PredictReply, PredictRequest, PredictedDevice, PredictedModel, Reply, Request,
};

use crate::app::Page;
use crate::definitions as d;
use crate::session::{Ended, Stage};
use crate::settings::Field;

/// Choices that are no names of shapes or devices.
pub const TARGET: &str = "loaded target";
pub const DRAFT: &str = "loaded draft";
pub const NONE: &str = "none";
pub const HERE: &str = "this device";

pub const DTYPES: [Precision; 5] = [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8, Precision::Int4];

/// After the last change, until it is asked.
const PAUSE: Duration = Duration::from_millis(200);

/// Prompts that this device is measured with, and the tokens that follow each.
const INPUTS: [usize; 8] = [8, 20, 48, 100, 200, 320, 480, 800];
const OUTPUT: usize = 24;
/// Of all sizes; the first one warms up.
const ROUNDS: usize = 4;

#[derive(Clone, Copy)]
pub struct PredictForm {
    pub model: RwSignal<String>,
    pub draft: RwSignal<String>,
    pub device: RwSignal<String>,
    pub dtype: RwSignal<String>,
    pub input: Field,
    pub output: Field,
    pub batch: Field,
    /// empty: the device's own
    pub chunk: Field,
    pub tensor_parallel: Field,
    pub acceptance: RwSignal<String>,
    pub reply: RwSignal<Option<PredictReply>>,
    pub problem: RwSignal<Option<String>>,
    /// how far measuring is
    pub measuring: RwSignal<Option<String>>,
}

impl PredictForm {
    /// The command line's defaults; a model and a device that people have heard of.
    pub fn new() -> Self {
        let text = |text: &str| RwSignal::new(text.to_owned());
        Self {
            model: text("llama-3.2-1b"),
            draft: text(NONE),
            device: text("apple-m1"),
            dtype: text(Precision::F16.name()),
            input: Field::new(&d::INPUT, 512, "1"),
            output: Field::new(&d::OUTPUT, 128, "1"),
            batch: Field::new(&d::BATCH, 1, "1"),
            chunk: Field::new(&d::CHUNK, "", "1"),
            tensor_parallel: Field::new(&d::TENSOR_PARALLEL, 1, "1"),
            acceptance: text("0.8"),
            reply: RwSignal::new(None),
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
        let draft = Some(self.draft.get()).filter(|name| name != NONE);
        let dtype = self.dtype.get();
        let no_chunk = self.chunk.value.with(|text| text.trim().is_empty());
        Ok(PredictRequest {
            model: model(self.model.get()),
            acceptance: if draft.is_some() { numbers("acceptance", &self.acceptance.get())? } else { vec![] },
            draft: draft.map(model),
            device: match self.device.get() {
                name if name == HERE => PredictedDevice::Here,
                name => PredictedDevice::Named(name),
            },
            case: Case {
                dtype: DTYPES.into_iter().find(|known| known.name() == dtype).unwrap_or(Precision::F16),
                input: self.input.read()?,
                output: self.output.read()?,
                batch: self.batch.read()?,
                chunk: if no_chunk { None } else { Some(self.chunk.read()?) },
                tensor_parallel: self.tensor_parallel.read()?,
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
fn numbers<T: FromStr>(name: &str, text: &str) -> Result<Vec<T>, String> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let all: Result<Vec<T>, _> = parts.map(str::parse).collect();
    all.map_err(|_| format!("{name} = \"{text}\": expected numbers from 0 to 1 with commas between them"))
}

/// Asks whenever something changes, for as long as the view is there. What the device is timed for is not disturbed.
pub fn follow(page: Page) {
    let form = page.prediction;
    let is_free = Memo::new(move |_| {
        let timed = page.session.stage.with(|stage| matches!(stage, Stage::Generating | Stage::Calibrating));
        page.session.takes_requests.get() && !timed
    });
    Effect::new(move |waiting: Option<Option<TimeoutHandle>>| {
        if let Some(waiting) = waiting.flatten() {
            waiting.clear();
        }
        let request = form.request(page);
        if !is_free.get() {
            return None;
        }
        match request {
            Ok(request) => set_timeout_with_handle(move || spawn_local(ask(form, page, request)), PAUSE).ok(),
            Err(message) => {
                form.problem.set(Some(message));
                None
            }
        }
    });
}

async fn ask(form: PredictForm, page: Page, request: PredictRequest) {
    match page.session.query(Request::Predict(Box::new(request))).await {
        Ok(Reply::Predicted(reply)) => {
            form.problem.set(None);
            form.reply.set(Some(*reply));
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
            form.model.set(TARGET.into());
            form.device.set(HERE.into());
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
