//! Says that a new version of the page is there, and starts it.

use leptos::prelude::*;

use crate::state::Page;

#[component]
pub fn UpdateNotice() -> impl IntoView {
    let offline = expect_context::<Page>().offline;
    view! {
        <div role="status">
            <Show when=move || offline.waiting.with(Option::is_some)>
                <p class="panel update">
                    "A new version is ready. "
                    <button type="button" class="quiet" on:click=move |_| offline.accept()>"Start it"</button>
                    <small>" Texts on this page are gone then; models and results of starts stay."</small>
                </p>
            </Show>
        </div>
    }
}
