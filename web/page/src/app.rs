//! The frame around the views.

use leptos::prelude::*;

use crate::components::dialog::DefinitionDialog;
use crate::components::engine::{EngineChoice, VersionNote};
use crate::components::status::Status;
use crate::components::update::UpdateNotice;
use crate::platform::route::Route;
use crate::platform::visibility;
use crate::state::Page;
use crate::views::bench::BenchView;
use crate::views::compare::Compare;
use crate::views::device::Device;
use crate::views::generate::Generate;
use crate::views::models::Models;
use crate::views::predict::Predict;
use crate::views::side_by_side::SideBySide;
use crate::views::starts::StartsView;
use crate::views::tree::Tree;

/// Puts the interface in place of what `index.html` shows first.
pub fn mount() {
    use wasm_bindgen::JsCast;
    let Some(place) = document().get_element_by_id("app").and_then(|place| place.dyn_into().ok()) else { return };
    let place: web_sys::HtmlElement = place;
    place.set_inner_html("");
    leptos::mount::mount_to(place, App).forget();
}

#[component]
fn App() -> impl IntoView {
    visibility::watch();
    let page = Page::new();
    provide_context(page);
    page.begin();
    let route = Route::follow();
    view! {
        <a class="skip" href="#main" on:click=skip>"Skip to content"</a>
        <header>
            <p class="name">"Understory"</p>
            <nav aria-label="Views">{Route::ALL.map(|to| view! { <Tab to route /> })}</nav>
            <EngineChoice />
        </header>
        <main id="main" tabindex="-1">
            <UpdateNotice />
            <VersionNote />
            <Status />
            {move || match route.get() {
                Route::Generate => view! { <Generate /> }.into_any(),
                Route::Tree => view! { <Tree /> }.into_any(),
                Route::SideBySide => view! { <SideBySide /> }.into_any(),
                Route::Starts => view! { <StartsView /> }.into_any(),
                Route::Models => view! { <Models /> }.into_any(),
                Route::Device => view! { <Device /> }.into_any(),
                Route::Predict => view! { <Predict /> }.into_any(),
                Route::Bench => view! { <BenchView /> }.into_any(),
                Route::Compare => view! { <Compare /> }.into_any(),
            }}
        </main>
        <footer>
            <p>
                "Understory " {env!("CARGO_PKG_VERSION")}
                ". " {move || page.session.engines.promise()}
            </p>
        </footer>
        <p class="unseen" aria-live="polite">{page.announcer.text}</p>
        <DefinitionDialog />
    }
}

#[component]
fn Tab(to: Route, route: ReadSignal<Route>) -> impl IntoView {
    view! {
        <a href=to.hash() aria-current=move || (route.get() == to).then_some("page")>{to.label()}</a>
    }
}

/// The hash names the view, so the link to the content moves the focus by itself.
fn skip(event: web_sys::MouseEvent) {
    use wasm_bindgen::JsCast;
    event.prevent_default();
    let main = document().get_element_by_id("main").and_then(|main| main.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(main) = main {
        let _ = main.focus();
    }
}
