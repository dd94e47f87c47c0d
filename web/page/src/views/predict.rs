//! Predict: what a model would take on a device, with what was measured here over the curves.

use leptos::prelude::*;
use understory_protocol::SelectOption;
use understory_protocol::definitions::prediction::explain;
use wasm_bindgen::JsCast;

use crate::components::ask::Ask;
use crate::components::field::NumberField;
use crate::components::problem::problem;
use crate::state::Page;
use crate::state::prediction::{NONE, SelectList};
use crate::state::session::Stage;
use crate::wording::definitions as d;

#[component]
pub fn Predict() -> impl IntoView {
    let page = expect_context::<Page>();
    let (form, session) = (page.prediction, page.session);
    form.follow();
    let drafted = move || form.draft.value.with(|draft| draft != NONE);
    let measuring = move || form.measuring.with(Option::is_some);
    // The definitions of figures in what the engine wrote.
    let explain_it = move |event: web_sys::MouseEvent| {
        let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        if let Some(about) = target.and_then(|target| explain(&target.get_attribute("data-figure")?)) {
            page.asked.set(Some(about));
        }
    };
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Predict"</h1>
            <p class="hint">
                "What a model would take on a device, by arithmetic: each operator takes as long as its multiply-adds or \
                 its bytes. Nothing needs to be loaded for it. " <Ask about=&d::ROOFLINE />
            </p>
            <div class="composer panel">
                <div class="fields chosen">
                    {select("model", "Model", form.model)}
                    {select("device", "Device", form.device)}
                    {select("dtype", "Weights", form.dtype)}
                    {select("draft", "Draft", form.draft)}
                    <div class="field" hidden=move || !drafted()>
                        <span class="label">
                            <label for="acceptance">"acceptance"</label>
                            <Ask about=&d::ACCEPTANCE />
                        </span>
                        <input id="acceptance" type="text" autocomplete="off" bind:value=form.acceptance />
                    </div>
                </div>
                <div class="fields">{form.sizes.into_iter().map(|field| view! { <NumberField field /> }).collect_view()}</div>
                <div class="actions">
                    <button
                        type="button"
                        class="quiet"
                        disabled=move || !session.is_ready() || measuring()
                        on:click=move |_| form.measure()
                    >
                        "Measure this device"
                    </button>
                    <button
                        type="button"
                        class="quiet"
                        hidden=move || !measuring()
                        on:click=move |_| session.stop()
                    >
                        "Stop"
                    </button>
                    <span class="live">{form.measuring}</span>
                    <Ask about=&d::THIS_DEVICE />
                </div>
                <p class="hint">{move || hint(page)}</p>
                {problem(form.problem)}
            </div>
            <div class="predicted" on:click=explain_it inner_html=form.html></div>
        </section>
    }
}

/// Why nothing is predicted at the moment, or not for this device.
fn hint(page: Page) -> String {
    if page.session.stage.with(|stage| matches!(stage, Stage::Calibrating | Stage::Generating)) {
        return "The engine is being timed: a prediction waits for its end, not to disturb it.".into();
    }
    page.prediction.not_here.get().map(|why| why + ".").unwrap_or_default()
}

fn select(id: &'static str, label: &'static str, SelectList { value, options }: SelectList) -> impl IntoView {
    // What is chosen is the form's to say; the engine's answer to an earlier choice does not undo it.
    let option = move |SelectOption { value: of, label, enabled, .. }: SelectOption| {
        let is = of.clone();
        view! {
            <option value=of prop:selected=move || value.with(|value| *value == is) disabled=!enabled>{label}</option>
        }
    };
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <select id=id on:change=move |event| value.set(event_target_value(&event))>
                {move || options.get().into_iter().map(option).collect_view()}
            </select>
        </div>
    }
}
