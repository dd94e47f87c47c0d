//! Side by side: plain decoding and a method over the same prompt.

use leptos::prelude::*;
use understory_protocol::Generation;

use crate::components::ask::Ask;
use crate::components::composer::Composer;
use crate::components::figures::{EngineLine, Figure, HiddenNote, SoftwareNote, figures};
use crate::components::table::{Table, plain};
use crate::state::Page;
use crate::state::comparison::{Comparison, ComparisonStep, ORDER, Side};
use crate::wording::definitions as d;
use crate::wording::format;

#[component]
pub fn SideBySide() -> impl IntoView {
    let page = expect_context::<Page>();
    let live = Signal::derive(move || page.comparison.shown.with(live));
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Side by side"</h1>
            <p class="hint">
                "The same prompt by plain decoding (A) and by the chosen method (B), in the order A B B A. "
                <Ask about=&d::ORDER />
            </p>
            <Composer start=|page| page.comparison.start() label="Run both" live />
            {move || page.comparison.shown.with(|comparison| results(comparison).into_any())}
        </section>
    }
}

fn live(comparison: &Comparison) -> String {
    match comparison.under_way {
        None => String::new(),
        Some(ComparisonStep::WarmUp) => "Warming up both".into(),
        Some(ComparisonStep::Run(index)) => {
            let what = if ORDER[index] == Side::A { "plain decoding".into() } else { comparison.method.to_string() };
            format!("Run {} of {}: {what}", index + 1, ORDER.len())
        }
    }
}

fn results(comparison: &Comparison) -> impl IntoView + use<> {
    if comparison.runs.is_empty() {
        return ().into_any();
    }
    view! {
        {comparison.is_complete().then(|| verdict(comparison))}
        {runs(comparison)}
        <div class="sides">{side(comparison, Side::A)} {side(comparison, Side::B)}</div>
    }
    .into_any()
}

fn verdict(comparison: &Comparison) -> impl IntoView + use<> {
    let (class, badge) = match comparison.first_difference() {
        None => ("badge good", "identical".to_owned()),
        Some(index) => ("badge bad", format!("first difference at token {}", index + 1)),
    };
    view! {
        <p class="verdict"><span class=class>{badge}</span> " " <Ask about=&d::IDENTICAL /></p>
        {figures([
            Figure::new(&d::RATIO, format!("{} ×", format::number(comparison.ratio()))),
            Figure::new(&d::TPOT, format::duration(comparison.tpot_ms(Side::A))).noted("A, plain decoding".into()),
            Figure::new(&d::TPOT, format::duration(comparison.tpot_ms(Side::B)))
                .noted(format!("B, {}", comparison.method)),
        ])}
        {comparison.hidden.then(|| view! { <HiddenNote /> })}
        <EngineLine engine=comparison.engine.clone() />
        <SoftwareNote />
    }
}

fn runs(comparison: &Comparison) -> impl IntoView + use<> {
    let row = |(nth, (generation, side)): (usize, (&Generation, Side))| {
        let metrics = &generation.metrics;
        let method = if side == Side::A { "ar".to_owned() } else { comparison.method.name().to_owned() };
        let length = generation.speculation.as_ref().map(|speculation| speculation.acceptance_length);
        [
            format!("{} {}", nth + 1, side.name()),
            method,
            format::duration(metrics.tpot_ms),
            format::number(metrics.decode_tokens_per_s),
            format::number(length),
            generation.token_ids.len().to_string(),
        ]
    };
    let rows = comparison.runs.iter().zip(ORDER).enumerate().map(row);
    plain(Table::new(["run", "method", "TPOT", "tokens/s", "acceptance length", "tokens"], rows))
}

/// The text of a side's first run.
fn side(comparison: &Comparison, side: Side) -> impl IntoView + use<> {
    let name = match side {
        Side::A => "A: plain decoding".to_owned(),
        Side::B => format!("B: {}", comparison.method),
    };
    let text = comparison.of(side).next().map(|generation| generation.text.clone());
    view! {
        <article class="panel">
            <h2>{name}</h2>
            <p class="text"><span class="prompt">{comparison.prompt.clone()}</span> {text}</p>
        </article>
    }
}
