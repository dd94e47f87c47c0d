//! Generate: a prompt, its text as it comes, and what it took.

use leptos::prelude::*;
use understory_protocol::{FinishReason, Generation, Lossless, RoundMode, Speculation};

use crate::components::ask::Ask;
use crate::components::charts::gaps::gaps;
use crate::components::charts::phases::phases;
use crate::components::charts::timeline::timeline;
use crate::components::composer::{Composer, live_line};
use crate::components::figures::{EngineLine, Figure, HiddenNote, SoftwareNote, figures};
use crate::components::table::{Table, plain};
use crate::components::text::{Legend, TintedText};
use crate::state::Page;
use crate::state::run::Run;
use crate::wording::definitions as d;
use crate::wording::format;

#[component]
pub fn Generate() -> impl IntoView {
    let page = expect_context::<Page>();
    let begun = move || page.live.run.with(|run| run.submitted_ms > 0.0);
    let finished = Memo::new(move |_| page.live.run.with(|run| run.generation.is_some()));
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Generate"</h1>
            <Composer start=|page| page.live.start() label="Generate" converses=true live=live_line(page) />
            <Conversation />
            <Show when=begun>
                <div class="panel output">
                    <TintedText />
                    <Legend />
                </div>
            </Show>
            {move || finished.get().then(|| page.live.run.with(|run| results(run).into_any()))}
        </section>
    }
}

/// The turns before the text on show.
#[component]
fn Conversation() -> impl IntoView {
    let page = expect_context::<Page>();
    // The last answer is the text itself.
    let turns = move || {
        let mut turns = page.live.conversation.get();
        turns.pop_if(|turn| turn.role == "assistant");
        turns
    };
    let clear = move |_| page.live.new_conversation();
    view! {
        <Show when=move || page.settings.chat.get() && !page.live.conversation.with(Vec::is_empty)>
            <button type="button" class="quiet" disabled=move || !page.session.is_ready() on:click=clear>
                "New conversation"
            </button>
            <ol class="turns">
                {move || {
                    turns().into_iter().map(|turn| view! { <li class=turn.role>{turn.content}</li> }).collect_view()
                }}
            </ol>
        </Show>
    }
}

fn results(run: &Run) -> impl IntoView + use<> {
    let Some(generation) = &run.generation else { return ().into_any() };
    let metrics = &generation.metrics;
    view! {
        {figures(main_figures(run, generation))}
        {run.hidden.then(|| view! { <HiddenNote /> })}
        <EngineLine engine=run.engine.clone() />
        <SoftwareNote />
        <details class="panel">
            <summary>"Over time"</summary>
            {timeline(&run.emissions)}
            {gaps(&run.emissions)}
            {phases(&metrics.phases_ms)}
        </details>
        {generation.speculation.as_ref().map(speculation)}
        <details class="panel">
            <summary>"Request and memory"</summary>
            {figures([
                Figure::new(&d::E2EL, format::duration(Some(metrics.e2el_ms))),
                Figure::new(&d::PREFILL, format!("{} tokens/s", format::number(metrics.prefill_tokens_per_s))),
                Figure::new(&d::DISPATCHES, format::number(metrics.dispatches_per_token)),
                Figure::new(&d::PIPELINES, metrics.n_pipelines.to_string()),
                Figure::new(&d::WEIGHTS, format::bytes(metrics.weights_bytes)),
                Figure::new(&d::KV, format::bytes(metrics.kv_bytes)),
                Figure::new(&d::PEAK, format::bytes(metrics.peak_gpu_bytes)),
            ])}
        </details>
    }
    .into_any()
}

fn main_figures(run: &Run, generation: &Generation) -> Vec<Figure> {
    let metrics = &generation.metrics;
    let length = generation.speculation.as_ref().map(|speculation| speculation.acceptance_length);
    let ended = format!("after {} of prompt, {}", generation.prompt_token_ids.len(), ending(generation.finish_reason));
    vec![
        Figure::new(&d::TTFT, format::duration(metrics.ttft_ms)),
        Figure::new(&d::PAINT_TTFT, format::duration(run.paint_ttft_ms)),
        Figure::new(&d::TPOT, format::duration(metrics.tpot_ms)),
        Figure::new(&d::TOKENS_PER_S, format::number(metrics.decode_tokens_per_s)),
        Figure::new(&d::ACCEPTANCE_LENGTH, format::number(length)),
        Figure::new(&d::TOKENS, generation.token_ids.len().to_string()).noted(ended),
    ]
}

fn ending(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos => "ended by the model",
        FinishReason::Stop => "ended by a stop text",
        FinishReason::Length => "ended by the limit",
        FinishReason::Context => "ended by the full context",
        FinishReason::Cancelled => "stopped by hand",
    }
}

fn speculation(speculation: &Speculation) -> impl IntoView + use<> {
    let lossless = match speculation.lossless {
        Some(Lossless::Verified) => "verified",
        Some(Lossless::SharedPipeline) => "shared pipeline",
        Some(Lossless::Off) => "off",
        None => "not tested yet",
    };
    let by_depth =
        speculation.by_depth.iter().enumerate().filter(|(_, count)| count.offered > 0).map(|(nth, count)| {
            let share = format::percent(Some(count.accepted as f64 / count.offered as f64));
            [
                (nth + 1).to_string(),
                count.offered.to_string(),
                count.nodes.to_string(),
                count.accepted.to_string(),
                share,
            ]
        });
    let by_depth: Vec<_> = by_depth.collect();
    let by_depth = (!by_depth.is_empty()).then(|| {
        let columns = ["depth", "rounds that reached it", "nodes", "rounds that accepted one", "share"];
        view! {
            <h2>{d::BY_DEPTH.name} " " <Ask about=&d::BY_DEPTH /></h2>
            {plain(Table::new(columns, by_depth))}
        }
    });
    let governor = (!speculation.governor.is_empty()).then(|| {
        let rows = speculation.governor.iter().map(|decision| {
            let mode = match decision.mode {
                RoundMode::Plain => "plain decoding",
                RoundMode::Lookup => "looking up",
                RoundMode::Draft => "drafting",
            };
            [(decision.round + 1).to_string(), mode.to_owned(), decision.reason.clone()]
        });
        let table = Table::new(["from round", "mode", "why"], rows);
        view! {
            <h2>{d::GOVERNOR.name} " " <Ask about=&d::GOVERNOR /></h2>
            {plain(table)}
        }
    });
    view! {
        <details class="panel">
            <summary>"Speculation: " {speculation.method.to_string()}</summary>
            {figures([
                Figure::new(&d::ROUNDS, speculation.rounds.to_string()),
                Figure::new(&d::PASSES, speculation.target_passes.to_string()),
                Figure::new(&d::DRAFTED, speculation.drafted.to_string()),
                Figure::new(&d::ACCEPTED, speculation.accepted.to_string()),
                Figure::new(&d::ACCEPTANCE_RATE, format::percent(speculation.acceptance_rate)),
                Figure::new(&d::PER_PASS, format::rounded(speculation.tokens_per_target_pass)),
                Figure::new(&d::PER_EMISSION, format::rounded(speculation.tokens_per_emission)),
                Figure::new(&d::SYNCS, format::rounded(speculation.host_syncs_per_token)),
                Figure::new(&d::LOSSLESS, lossless.into()),
            ])}
            {by_depth}
            {governor}
        </details>
    }
}
