//! Figures in a row: name, definition, value.

use leptos::prelude::*;

use super::ask::Ask;
use crate::state::Page;
use crate::wording::definitions::Definition;

pub struct Figure {
    pub definition: &'static Definition,
    pub value: String,
    /// what to know beside it
    pub note: Option<String>,
}

impl Figure {
    pub fn new(definition: &'static Definition, value: String) -> Self {
        Self { definition, value, note: None }
    }

    pub fn noted(self, note: String) -> Self {
        Self { note: Some(note), ..self }
    }
}

pub fn figures(all: impl IntoIterator<Item = Figure>) -> impl IntoView {
    let figure = |figure: Figure| {
        view! {
            <div>
                <dt>{figure.definition.name} " " <Ask about=figure.definition /></dt>
                <dd>{figure.value} {figure.note.map(|note| view! { <small>{note}</small> })}</dd>
            </div>
        }
    };
    view! { <dl class="figures">{all.into_iter().map(figure).collect_view()}</dl> }
}

/// The engine that figures are of.
#[component]
pub fn EngineLine(engine: String) -> impl IntoView {
    view! { <p class="hint">"Engine: " {engine} "."</p> }
}

/// Says what figures are worth where a CPU emulates the adapter.
#[component]
pub fn SoftwareNote() -> impl IntoView {
    let page = expect_context::<Page>();
    let software = move || page.session.loaded.with(|loaded| loaded.as_ref().is_some_and(|l| l.device.software));
    view! {
        <Show when=software>
            <p class="note">"A software adapter: these figures say how fast a CPU imitates a GPU."</p>
        </Show>
    }
}

/// Says that figures are those of a tab that nobody saw.
#[component]
pub fn HiddenNote() -> impl IntoView {
    view! {
        <p class="note">"Measured while the tab was hidden: browsers slow hidden tabs down, so these figures say little."</p>
    }
}
