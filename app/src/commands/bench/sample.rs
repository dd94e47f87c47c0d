//! One run, from a request to what the report keeps of it.

use std::ops::ControlFlow;

use anyhow::Result;
use understory_engine::Engine;
use understory_engine::lab::hash;
use understory_engine::lab::metrics::repetition;
use understory_engine::lab::report::{Counts, Emissions, Phase, Sample, StartState};
use understory_engine::protocol::{Event, GenerateRequest, Generation};

use crate::interrupt;

/// A run and what only the whole report has a place for.
pub struct Taken {
    pub sample: Sample,
    pub weights_bytes: u64,
}

/// Generates with nothing in the KV cache; Ctrl-C ends it early, and the caller drops it.
pub async fn take(engine: &mut Engine, request: &GenerateRequest, start: StartState) -> Result<Taken> {
    engine.clear_cache();
    let mut emissions = Emissions::default();
    let mut reused = 0;
    let mut on_event = |event| {
        match event {
            Event::Started { reused_tokens, .. } => reused = reused_tokens,
            Event::Emission { token_ids, at_ms, .. } => emissions.push(at_ms, token_ids.len()),
            Event::Round { .. } => {}
        }
        if interrupt::cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let generation = engine.generate(request, &mut on_event).await?;
    let weights_bytes = generation.metrics.weights_bytes;
    Ok(Taken { sample: sample(start, &generation, emissions, reused), weights_bytes })
}

fn sample(start: StartState, generation: &Generation, emissions: Emissions, reused_tokens: usize) -> Sample {
    let metrics = &generation.metrics;
    Sample {
        round: 0,
        order: 0,
        submitted_at_ms: None,
        before_ms: (start == StartState::Warm).then_some(0.0),
        first_text_ms: metrics.ttft_ms,
        paint_ms: None,
        emissions,
        prompt_tokens: generation.prompt_token_ids.len(),
        reused_tokens,
        finish_reason: generation.finish_reason,
        phases: Phase::known(&metrics.phases_ms, start),
        output_hash: hash::of_tokens(&generation.token_ids),
        repetition: repetition(&generation.prompt_token_ids, &generation.token_ids),
        peak_gpu_bytes: Some(metrics.peak_gpu_bytes),
        speculation: generation.speculation.as_ref().map(Counts::from),
        hidden: None,
        load: None,
    }
}
