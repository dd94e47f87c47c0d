//! What a conversation is told beside its turns: the system message, and what the model's chat template lets one switch.

use leptos::prelude::*;

use crate::state::Page;

const UNSET: &str = "the template's default";

#[component]
pub fn ChatOptions() -> impl IntoView {
    let page = expect_context::<Page>();
    let names = move || {
        page.session.loaded.with(|loaded| loaded.as_ref().map(|l| l.template_switches.clone())).unwrap_or_default()
    };
    let switches = move || {
        let names = names();
        (!names.is_empty()).then(|| {
            view! {
                <div class="fields">{names.into_iter().map(|name| view! { <Switch name /> }).collect_view()}</div>
                <p class="hint">
                    "Switches of the model's chat template, by its names. What is left alone, the template decides."
                </p>
            }
        })
    };
    view! {
        <details class="chat-options">
            <summary>"Chat options"</summary>
            <div class="field wide">
                <label for="system">"System message"</label>
                <textarea
                    id="system"
                    rows="2"
                    placeholder="What the model is told before the first turn"
                    bind:value=page.settings.system
                ></textarea>
            </div>
            {switches}
        </details>
    }
}

/// A variable of the template: on, off, or what the template makes of it by itself.
#[component]
fn Switch(name: String) -> impl IntoView {
    let switches = expect_context::<Page>().settings.switches;
    let id = format!("switch-{name}");
    let choose = {
        let name = name.clone();
        move |event| {
            let chosen = event_target_value(&event);
            switches.update(|switches| {
                match chosen.as_str() {
                    "on" => switches.insert(name.clone(), true),
                    "off" => switches.insert(name.clone(), false),
                    _ => switches.remove(&name),
                };
            });
        }
    };
    let option = |value: Option<bool>, label: &'static str| {
        let name = name.clone();
        let selected = move || switches.with(|switches| switches.get(&name).copied() == value);
        view! { <option value=label prop:selected=selected>{label}</option> }
    };
    let options = [option(None, UNSET), option(Some(true), "on"), option(Some(false), "off")];
    view! {
        <div class="field">
            <label for=id.clone()>{name}</label>
            <select id=id on:change=choose>{options}</select>
        </div>
    }
}
