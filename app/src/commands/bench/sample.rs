//! One run, from a request to what the report keeps of it.

use std::ops::ControlFlow;

use anyhow::Result;
use understory_lab::experiment::Recorder;
use understory_lab::report::{Sample, StartState};
use understory_protocol::GenerateRequest;
use understory_runtime::Engine;

use crate::interrupt;

/// A run and what only the whole report has a place for.
pub struct Taken {
    pub sample: Sample,
    pub weights_bytes: u64,
}

/// Generates with nothing in the KV cache; Ctrl-C ends it early, and the caller drops it.
pub async fn take(engine: &mut Engine, request: &GenerateRequest, start: StartState) -> Result<Taken> {
    engine.clear_cache();
    let mut recorder = Recorder::default();
    let mut on_event = |event| {
        recorder.hear(&event);
        if interrupt::cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let generation = engine.generate(request, &mut on_event).await?;
    let weights_bytes = generation.metrics.weights_bytes;
    Ok(Taken { sample: recorder.sample(start, &generation), weights_bytes })
}
