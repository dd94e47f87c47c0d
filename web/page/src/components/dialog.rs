//! The definition that was asked for.

use leptos::html;
use leptos::prelude::*;

use crate::state::Page;

#[component]
pub fn DefinitionDialog() -> impl IntoView {
    let page = expect_context::<Page>();
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        if page.asked.get().is_some()
            && let Some(dialog) = dialog.get()
        {
            // It fails where it is open already.
            let _ = dialog.show_modal();
        }
    });
    let asked = move || page.asked.get();
    view! {
        <dialog
            node_ref=dialog
            closedby="any"
            aria-labelledby="definition-name"
            on:close=move |_| page.asked.set(None)
        >
            <h2 id="definition-name">{move || asked().map(|definition| definition.name)}</h2>
            <p>{move || asked().map(|definition| definition.text)}</p>
            <form method="dialog">
                <button class="quiet">"Close"</button>
            </form>
        </dialog>
    }
}
