//! The text, each token tinted by where it came from.

use leptos::prelude::*;

use super::ask::Ask;
use crate::state::Page;
use crate::state::run::{Run, TokenSource};
use crate::wording::definitions as d;

/// Depths beyond it look like it.
const DEEPEST: usize = 4;

#[component]
pub fn TintedText() -> impl IntoView {
    let page = expect_context::<Page>();
    let keys = move || {
        let sources = |run: &Run| run.tokens.iter().map(|token| token.source).enumerate().collect::<Vec<_>>();
        page.live.run.with(sources)
    };
    // A token whose source becomes known later is another item, and drawn anew.
    let token = move |(index, source): (usize, TokenSource)| {
        let text = page.live.run.with_untracked(|run| run.piece(index).map(str::to_owned));
        view! { <span class=class(source) title=describe(source)>{text}</span> }
    };
    view! {
        <p class="text" class:tinted=page.live.tint>
            <span class="prompt">{move || page.live.run.with(|run| run.prompt.clone())}</span>
            <For each=keys key=|key| *key children=token />
        </p>
    }
}

#[component]
pub fn Legend() -> impl IntoView {
    let page = expect_context::<Page>();
    let drafted = (1..=DEEPEST).map(|depth| {
        let more = if depth == DEEPEST { "+" } else { "" };
        view! { <span class=class(TokenSource::Drafted(depth))>{depth} {more}</span> }
    });
    view! {
        <div class="legend">
            <label class="switch"><input type="checkbox" bind:checked=page.live.tint /> "Tint"</label>
            <span class="tinted" class:off=move || !page.live.tint.get()>
                <span class="entry">"drafted, by depth " {drafted.collect_view()}</span>
                <span class="entry"><span class=class(TokenSource::LookedUp(1))>"looked up"</span></span>
                <span class="entry"><span class=class(TokenSource::Own)>"the target's own"</span></span>
            </span>
            <Ask about=&d::ORIGIN />
        </div>
    }
}

fn class(source: TokenSource) -> String {
    match source {
        TokenSource::Own => "own".into(),
        TokenSource::Drafted(depth) => format!("drafted d{}", depth.clamp(1, DEEPEST)),
        TokenSource::LookedUp(_) => "looked-up".into(),
    }
}

fn describe(source: TokenSource) -> String {
    match source {
        TokenSource::Own => "the target's own token".into(),
        TokenSource::Drafted(depth) => format!("drafted, depth {depth}"),
        TokenSource::LookedUp(depth) => format!("looked up, depth {depth}"),
    }
}
