//! The text, each token tinted by where it came from.

use leptos::prelude::*;

use super::ask::Ask;
use crate::app::Page;
use crate::definitions as d;
use crate::run::Source;

/// Depths beyond it look like it.
const DEEPEST: usize = 4;

#[component]
pub fn TintedText() -> impl IntoView {
    let page = expect_context::<Page>();
    let keys = move || {
        let sources =
            |run: &crate::run::Run| run.tokens.iter().map(|token| token.source).enumerate().collect::<Vec<_>>();
        page.run.with(sources)
    };
    // A token whose source becomes known later is another item, and drawn anew.
    let token = move |(index, source): (usize, Source)| {
        let text = page.run.with_untracked(|run| run.piece(index).map(str::to_owned));
        view! { <span class=class(source) title=describe(source)>{text}</span> }
    };
    view! {
        <p class="text" class:tinted=page.tint>
            <span class="prompt">{move || page.run.with(|run| run.prompt.clone())}</span>
            <For each=keys key=|key| *key children=token />
        </p>
    }
}

#[component]
pub fn Legend() -> impl IntoView {
    let page = expect_context::<Page>();
    let drafted = (1..=DEEPEST).map(|depth| {
        let more = if depth == DEEPEST { "+" } else { "" };
        view! { <span class=class(Source::Drafted(depth))>{depth} {more}</span> }
    });
    view! {
        <div class="legend">
            <label class="switch"><input type="checkbox" bind:checked=page.tint /> "Tint"</label>
            <span class="tinted" class:off=move || !page.tint.get()>
                <span class="entry">"drafted, by depth " {drafted.collect_view()}</span>
                <span class="entry"><span class=class(Source::LookedUp(1))>"looked up"</span></span>
                <span class="entry"><span class=class(Source::Own)>"the target's own"</span></span>
            </span>
            <Ask about=&d::ORIGIN />
        </div>
    }
}

fn class(source: Source) -> String {
    match source {
        Source::Own => "own".into(),
        Source::Drafted(depth) => format!("drafted d{}", depth.clamp(1, DEEPEST)),
        Source::LookedUp(_) => "looked-up".into(),
    }
}

fn describe(source: Source) -> String {
    match source {
        Source::Own => "the target's own token".into(),
        Source::Drafted(depth) => format!("drafted, depth {depth}"),
        Source::LookedUp(depth) => format!("looked up, depth {depth}"),
    }
}
