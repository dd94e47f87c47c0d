//! The button beside a figure that opens its definition.

use leptos::prelude::*;

use crate::state::Page;
use crate::wording::definitions::Definition;

#[component]
pub fn Ask(about: &'static Definition) -> impl IntoView {
    let page = expect_context::<Page>();
    view! {
        <button
            type="button"
            class="ask"
            aria-label=format!("What is “{}”?", about.name)
            on:click=move |_| page.asked.set(Some(about))
        >
            "?"
        </button>
    }
}
