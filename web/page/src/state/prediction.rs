//! What the page asks about a prediction, as the form has it, and what came back.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{
    Case, FinishReason, GenerateRequest, Precision, PredictReply, PredictRequest, PredictedDevice, PredictedModel,
    Reply, Request, SelectOption,
};

use super::session::{Ended, Session, Stage};
use super::settings::Field;
use crate::platform::typed::Typed;
use crate::wording::definitions as d;
use crate::wording::notice::Notice;

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

/// A list to choose from, as the engine knows it, and what is chosen.
#[derive(Clone, Copy)]
pub struct SelectList {
    pub value: RwSignal<String>,
    pub options: RwSignal<Vec<SelectOption>>,
}

impl SelectList {
    /// Until the engine answers, what is chosen is all that there is.
    fn new(value: &str) -> Self {
        let only = SelectOption { value: value.into(), label: value.into(), selected: true, enabled: true };
        Self { value: RwSignal::new(value.into()), options: RwSignal::new(vec![only]) }
    }
}

#[derive(Clone, Copy)]
pub struct PredictForm {
    pub model: SelectList,
    pub draft: SelectList,
    pub device: SelectList,
    pub dtype: SelectList,
    /// input, output, batch, chunk (empty: the device's own), tensor-parallel
    pub sizes: [Field; 5],
    pub acceptance: RwSignal<String>,
    /// what came back
    pub html: RwSignal<String>,
    pub not_here: RwSignal<Option<String>>,
    pub problem: RwSignal<Option<Notice>>,
    /// how far measuring is
    pub measuring: RwSignal<Option<String>>,
    session: Session,
}

impl PredictForm {
    /// The command line's defaults; a model and a device that people have heard of.
    pub fn new(session: Session) -> Self {
        Self {
            model: SelectList::new("llama-3.2-1b"),
            draft: SelectList::new(NONE),
            device: SelectList::new("apple-m1"),
            dtype: SelectList::new(Precision::F16.name()),
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
            session,
        }
    }

    fn request(self) -> Result<PredictRequest, String> {
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
            measured: self.session.history.times.get(),
            verify_ms: self
                .session
                .costs
                .with(|known| known.as_ref().map(|known| known.costs.verify_ms.clone()).unwrap_or_default()),
        })
    }

    /// Asks whenever something changes, for as long as the view is there. What the device is timed for is not disturbed.
    pub fn follow(self) {
        let session = self.session;
        let is_free = Memo::new(move |_| {
            let timed = session.stage.with(|stage| matches!(stage, Stage::Generating | Stage::Calibrating));
            session.takes_requests.get() && !timed
        });
        let changes = Rc::new(Cell::new(0));
        Effect::new(move || {
            let change = changes.get() + 1;
            changes.set(change);
            let request = self.request();
            if !is_free.get() {
                return;
            }
            match request {
                Ok(request) => {
                    let changes = changes.clone();
                    let if_last = move || {
                        if changes.get() == change {
                            spawn_local(self.ask(request));
                        }
                    };
                    set_timeout(if_last, PAUSE);
                }
                Err(message) => self.problem.set(Some(message.into())),
            }
        });
    }

    async fn ask(self, request: PredictRequest) {
        match self.session.query(Request::Predict(Box::new(request))).await {
            Ok(Reply::Predicted(reply)) => {
                let PredictReply { models, drafts, devices, dtypes, not_here, html } = *reply;
                self.problem.set(None);
                self.model.options.set(models);
                self.draft.options.set(drafts);
                self.device.options.set(devices);
                self.dtype.options.set(dtypes);
                self.not_here.set(not_here);
                self.html.set(html);
            }
            Ok(_) => {}
            Err(ended) => self.fail(ended),
        }
    }

    fn fail(self, ended: Ended) {
        if let Some(notice) = self.session.explain(ended) {
            self.problem.set(Some(notice));
        }
    }

    /// Runs plain requests of several sizes with the loaded target, sizes in turns, and predicts with what they took.
    pub fn measure(self) {
        spawn_local(async move {
            match self.measure_all().await {
                Err(ended @ Ended::Failed(_)) => self.fail(ended),
                _ => {
                    self.model.value.set(TARGET.into());
                    self.device.value.set(HERE.into());
                }
            }
            self.measuring.set(None);
        });
    }

    async fn measure_all(self) -> Result<(), Ended> {
        let session = self.session;
        let context = session.loaded.with_untracked(|loaded| loaded.as_ref().map_or(0, |loaded| loaded.context));
        let inputs = || INPUTS.into_iter().filter(|input| input + OUTPUT <= context);
        let before = session.history.times.get_untracked();
        for round in 0..ROUNDS {
            for (nth, input) in inputs().enumerate() {
                let done = if round == 0 { "warming up".into() } else { format!("round {round} of {}", ROUNDS - 1) };
                self.measuring.set(Some(format!("Prompts of {input} tokens, {done}")));
                // Begins with another token than the one before, whose keys and values are still there.
                let token = |i: usize| ((i * 37 + nth + 11 * round) % 251 + 1) as u32;
                let request = GenerateRequest::plain((0..input).map(token).collect(), OUTPUT);
                let generation = session.generate(request, |_| {}).await?;
                if generation.finish_reason == FinishReason::Cancelled {
                    return Err(Ended::Gone);
                }
            }
            if round == 0 {
                session.history.times.set(before.clone());
            }
        }
        Ok(())
    }
}

/// `0.8, 0.7` or `0.8 0.7`
fn chances(text: &str) -> Result<Vec<f64>, String> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let all: Option<Vec<f64>> = parts.map(f64::read).collect();
    all.ok_or_else(|| format!("acceptance = \"{text}\": expected numbers from 0 to 1 with commas between them"))
}
