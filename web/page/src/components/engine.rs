//! The choice of the engine, where there is one.

use leptos::prelude::*;

use crate::connection::Place;
use crate::state::Page;

#[component]
pub fn EngineChoice() -> impl IntoView {
    let session = expect_context::<Page>().session;
    let engines = session.engines;
    let choose = move |event| {
        if let Some(place) = Place::from_id(&event_target_value(&event)) {
            session.choose_engine(place);
        }
    };
    let option = move |of: Place| {
        view! {
            <option value=of.id() prop:selected=move || engines.place.get() == of>{move || engines.label(of)}</option>
        }
    };
    let generating = move || session.is_generating();
    view! {
        <Show when=move || engines.info.with(Option::is_some)>
            <div class="engine">
                <label for="engine">"Engine"</label>
                <select id="engine" disabled=generating on:change=choose>
                    {[Place::Browser, Place::Native].map(option)}
                </select>
            </div>
        </Show>
    }
}

/// Says where page and server do not belong together.
#[component]
pub fn VersionNote() -> impl IntoView {
    let engines = expect_context::<Page>().session.engines;
    view! {
        {move || engines.mismatch().map(|message| view! { <p class="note">{message}</p> })}
    }
}
