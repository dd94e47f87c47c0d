//! The frame around the views, and what they share.

use leptos::prelude::*;
use understory_protocol::ChatMessage;

use crate::bench::Bench;
use crate::choice::{self, ModelForm};
use crate::comparison::Comparison;
use crate::components::dialog::DefinitionDialog;
use crate::components::engine::{EngineChoice, VersionNote};
use crate::components::status::Status;
use crate::components::update::UpdateNotice;
use crate::definitions::Definition;
use crate::offline::Offline;
use crate::prediction::PredictForm;
use crate::route::Route;
use crate::run::Run;
use crate::session::Session;
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::starts::{self, Starts};
use crate::views::bench::Bench as BenchView;
use crate::views::compare::Compare;
use crate::views::device::Device;
use crate::views::generate::Generate;
use crate::views::models::Models;
use crate::views::predict::Predict;
use crate::views::side_by_side::SideBySide;
use crate::views::starts::Starts as StartsView;
use crate::views::tree::Tree;
use crate::visibility;

/// What outlives a change of view.
#[derive(Clone, Copy)]
pub struct Page {
    pub session: Session,
    pub settings: Settings,
    pub models: ModelForm,
    /// the last generation, or the one under way
    pub run: RwSignal<Run>,
    /// what was said before, with a model that has a chat template
    pub conversation: RwSignal<Vec<ChatMessage>>,
    pub comparison: RwSignal<Comparison>,
    pub starts: Starts,
    pub prediction: PredictForm,
    pub bench: Bench,
    pub shelf: Shelf,
    pub offline: Offline,
    /// why the last request has no result
    pub problem: RwSignal<Option<String>>,
    /// the page's clock while something runs, in milliseconds
    pub now_ms: RwSignal<f64>,
    /// Tokens are tinted by where they came from.
    pub tint: RwSignal<bool>,
    /// what a screen reader says next
    pub announcement: RwSignal<String>,
    /// the definition on show
    pub asked: RwSignal<Option<&'static Definition>>,
}

impl Page {
    fn new() -> Self {
        let session = Session::new();
        Self {
            session,
            settings: Settings::new(),
            models: ModelForm::new(),
            run: RwSignal::new(Run::default()),
            conversation: RwSignal::new(vec![]),
            comparison: RwSignal::new(Comparison::default()),
            starts: Starts::new(),
            prediction: PredictForm::new(),
            bench: Bench::new(session),
            shelf: Shelf::new(),
            offline: Offline::new(),
            problem: RwSignal::new(None),
            now_ms: RwSignal::new(0.0),
            tint: RwSignal::new(true),
            announcement: RwSignal::new(String::new()),
            asked: RwSignal::new(None),
        }
    }

    /// Milliseconds on the page's clock.
    pub fn clock() -> f64 {
        window().performance().map_or(0.0, |performance| performance.now())
    }
}

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
    leptos::task::spawn_local(starts::go_on(page));
    page.session.engines.begin(page.session);
    choice::follow(page);
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
        <p class="unseen" aria-live="polite">{page.announcement}</p>
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
