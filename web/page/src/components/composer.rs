//! The prompt, what is asked of the engine, and the buttons: the same on every view that generates.

use leptos::prelude::*;

use super::chat_options::ChatOptions;
use super::field::NumberField;
use super::problem::problem;
use crate::state::Page;
use crate::state::run::Run;
use crate::state::settings::MethodKind;
use crate::wording::format;

/// `start` runs what the settings ask for; `label` is what its button says. A view that `converses` offers the chat
/// where the model has a template for it.
#[component]
pub fn Composer(
    start: fn(Page),
    label: &'static str,
    #[prop(optional)] converses: bool,
    /// what happens, while it happens
    #[prop(into)]
    live: Signal<String>,
) -> impl IntoView {
    let page = expect_context::<Page>();
    let settings = page.settings;
    let generating = move || page.session.is_generating();
    let has_template = move || page.session.loaded.with(|l| l.as_ref().is_some_and(|l| l.has_chat_template));
    let has_no_draft = move || page.session.has_no_draft();
    let chats = move || converses && settings.chat.get();
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if page.session.is_ready() {
            start(page);
        }
    };
    // Ctrl+Enter, or Command+Enter, from within the prompt.
    let keys = move |event: web_sys::KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) && page.session.is_ready() {
            start(page);
        }
    };
    view! {
        <form class="composer panel" novalidate=true on:submit=submit>
            <div class="field wide">
                <label for="prompt">{move || if chats() { "Message" } else { "Prompt" }}</label>
                <textarea id="prompt" rows="3" on:keydown=keys bind:value=settings.prompt></textarea>
            </div>
            <Show when=move || converses && has_template()>
                <label class="switch"><input type="checkbox" bind:checked=settings.chat /> "Chat"</label>
            </Show>
            <Show when=chats>
                <ChatOptions />
            </Show>
            <div class="fields">
                <MethodSelect />
                {move || {
                    settings.method_fields().into_iter().map(|field| view! { <NumberField field /> }).collect_view()
                }}
            </div>
            <p class="hint">
                {move || settings.kind.get().about()}
                {move || has_no_draft().then_some(" No draft model is loaded: the methods that need one are off.")}
            </p>
            <details>
                <summary>"Sampling and length"</summary>
                <div class="fields">
                    {settings.sampling_fields().map(|field| view! { <NumberField field /> })}
                    <NumberField field=settings.max_new_tokens />
                    <label class="switch">
                        <input type="checkbox" bind:checked=settings.ignore_eos /> "Go on past the model's end token"
                    </label>
                </div>
            </details>
            <div class="actions">
                <button class="primary" type="submit" disabled=move || !page.session.is_ready()>{label}</button>
                <button
                    type="button"
                    class="quiet"
                    disabled=move || !generating()
                    on:click=move |_| page.session.stop()
                >
                    "Stop"
                </button>
                <span class="live">{live}</span>
            </div>
            {problem(page.live.problem)}
        </form>
    }
}

#[component]
fn MethodSelect() -> impl IntoView {
    let page = expect_context::<Page>();
    let kind = page.settings.kind;
    let has_no_draft = move || page.session.has_no_draft();
    let choose = move |event| {
        let chosen = event_target_value(&event);
        if let Some(found) = MethodKind::ALL.into_iter().find(|kind| kind.label() == chosen) {
            kind.set(found);
        }
    };
    let option = move |of: MethodKind| {
        let lacks_draft = move || of.needs_draft() && has_no_draft();
        view! {
            <option value=of.label() prop:selected=move || kind.get() == of disabled=lacks_draft>{of.label()}</option>
        }
    };
    view! {
        <div class="field method">
            <label for="method">"Method"</label>
            <select id="method" on:change=choose>{MethodKind::ALL.map(option)}</select>
        </div>
    }
}

/// The live line of a generation: phase, time, rate; empty when nothing runs.
pub fn live_line(page: Page) -> Signal<String> {
    Signal::derive(move || {
        if !page.session.is_generating() {
            return String::new();
        }
        page.live.run.with(|run| line(run, page.live.now_ms.get()))
    })
}

fn line(run: &Run, now_ms: f64) -> String {
    let elapsed = format!("{:.1} s", (now_ms - run.submitted_ms).max(0.0) / 1e3);
    let tokens = run.tokens.len();
    match (run.prompt_tokens, tokens) {
        (None, _) => format!("Tokenising · {elapsed}"),
        (Some(prompt), 0) => format!("Reading the prompt, {} · {elapsed}", format::count(prompt, "token")),
        _ => {
            let rate = run.rate().map(|rate| format!(" · {} tokens/s", format::rounded(rate))).unwrap_or_default();
            format!("Writing · {elapsed} · {}{rate}", format::count(tokens, "token"))
        }
    }
}
