//! Tree: the rounds of the last generation, one at a time.

use leptos::ev;
use leptos::prelude::*;
use understory_protocol::{Round, RoundMode};
use wasm_bindgen::JsCast;

use crate::components::ask::Ask;
use crate::components::charts::tree::{nodes, tree, what};
use crate::components::composer::{Composer, live_line};
use crate::components::table::{Table, twin};
use crate::state::Page;
use crate::state::run::Run;
use crate::wording::definitions as d;
use crate::wording::format;

/// The round on show: the newest one, as they come, until one is chosen.
#[derive(Clone, Copy)]
struct Cursor {
    chosen: RwSignal<Option<usize>>,
    count: Memo<usize>,
}

impl Cursor {
    fn at(self) -> usize {
        let last = self.count.get().saturating_sub(1);
        self.chosen.get().unwrap_or(last).min(last)
    }

    fn go(self, to: usize) {
        let last = self.count.get().saturating_sub(1);
        self.chosen.set((to < last).then_some(to));
    }
}

#[component]
pub fn Tree() -> impl IntoView {
    let page = expect_context::<Page>();
    let cursor =
        Cursor { chosen: RwSignal::new(None), count: Memo::new(move |_| page.live.run.with(|run| run.rounds.len())) };
    let keys = window_event_listener(ev::keydown, move |event| {
        if types(&event) || event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        match event.key().as_str() {
            "ArrowLeft" => cursor.go(cursor.at().saturating_sub(1)),
            "ArrowRight" => cursor.go(cursor.at() + 1),
            _ => {}
        }
    });
    on_cleanup(move || keys.remove());
    let has_rounds = move || cursor.count.get() > 0;
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Tree"</h1>
            <Composer start=|page| page.live.start() label="Generate" live=live_line(page) />
            <Show when=has_rounds fallback=move || view! { <p class="hint">{move || empty(page)}</p> }>
                <Scrubber cursor />
                {move || {
                    let at = cursor.at();
                    page.live.run.with(|run| round(run, at).into_any())
                }}
            </Show>
        </section>
    }
}

/// Whether the key is for an element that takes arrow keys itself.
fn types(event: &web_sys::KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::HtmlElement>().ok());
    target.is_some_and(|target| matches!(target.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT"))
}

fn empty(page: Page) -> &'static str {
    if page.live.run.with(|run| run.generation.is_some() && run.rounds.is_empty()) {
        "This generation had no rounds: plain decoding guesses nothing. Choose another method."
    } else {
        "Generate, and every round's tree appears here as it is checked. The tree method drafts in every round."
    }
}

#[component]
fn Scrubber(cursor: Cursor) -> impl IntoView {
    let last = move || cursor.count.get().saturating_sub(1);
    let slide = move |event| {
        if let Ok(to) = event_target_value(&event).parse() {
            cursor.go(to);
        }
    };
    view! {
        <div class="scrubber">
            <button type="button" class="quiet" aria-label="Previous round" disabled=move || cursor.at() == 0
                on:click=move |_| cursor.go(cursor.at().saturating_sub(1))>"←"</button>
            <input
                type="range"
                min="0"
                aria-label="Round"
                max=move || last().to_string()
                prop:value=move || cursor.at().to_string()
                aria-valuetext=move || format!("round {} of {}", cursor.at() + 1, cursor.count.get())
                on:input=slide
            />
            <button type="button" class="quiet" aria-label="Next round" disabled=move || cursor.at() == last()
                on:click=move |_| cursor.go(cursor.at() + 1)>"→"</button>
            <span class="live">{move || format!("{} of {}", cursor.at() + 1, cursor.count.get())}</span>
        </div>
    }
}

fn round(run: &Run, at: usize) -> impl IntoView + use<> {
    let Some(traced) = run.rounds.get(at) else { return ().into_any() };
    let round = &traced.round;
    let first = traced.first;
    let accepted = round.path.len().saturating_sub(1);
    let own = run.piece(first + accepted).map(str::to_owned);
    let wrote: String = (first..first + round.emitted.len()).filter_map(|index| run.piece(index)).collect();
    let rows = nodes(round).enumerate().map(|(row, node)| {
        let text = format::token(traced.texts.get(row).map_or("", String::as_str), usize::MAX);
        let parent = node.parent.map_or_else(String::new, |parent| parent.to_string());
        [row.to_string(), text, parent, what(round, row, node)]
    });
    let table = Table::new(["node", "token", "parent", "what it is"], rows);
    view! {
        <figure class="chart">
            <figcaption>
                {format!("Round {}: {}, wrote ", round.index + 1, summary(round))} <q>{wrote}</q> " "
                <Ask about=&d::TREE />
            </figcaption>
            <div class="scroll trees" tabindex="0">{tree(traced, own)}</div>
            <ul class="parts key nodes">
                <li class="drafted accepted">"drafted, accepted"</li>
                <li class="drafted">"drafted, rejected"</li>
                <li class="looked-up accepted">"looked up, accepted"</li>
                <li class="looked-up">"looked up, rejected"</li>
                <li class="drafted pruned">"drafted, pruned: not verified"</li>
                <li class="own">"the target's own"</li>
                <li class="asks">"Path probabilities: hover over a node, or open the table " <Ask about=&d::PROBABILITY /></li>
            </ul>
            {twin(table)}
        </figure>
    }
    .into_any()
}

fn summary(round: &Round) -> String {
    let (guesses, accepted) = (round.nodes.len().saturating_sub(1), round.path.len().saturating_sub(1));
    match round.mode {
        _ if guesses == 0 => "plain decoding, nothing guessed".into(),
        RoundMode::Lookup => format!("{} looked up, {accepted} accepted", format::count(guesses, "token")),
        _ => format!("{} drafted, {accepted} accepted", format::count(guesses, "token")),
    }
}
