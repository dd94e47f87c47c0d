//! Predict: what a model would take on a device, with what was measured here over the curves.

use leptos::prelude::*;
use understory_engine::predict::explain::explain;
use understory_engine::protocol::{Listed, PredictReply, PredictedFigure};

use crate::app::Page;
use crate::components::ask::Ask;
use crate::components::field::NumberField;
use crate::components::figures::{Figure, figures};
use crate::definitions as d;
use crate::format;
use crate::prediction::{self, DRAFT, DTYPES, HERE, NONE, TARGET};
use crate::session::Stage;

/// A value, what it is called, and whether it can be chosen.
type Choices = Vec<(String, String, bool)>;

#[component]
pub fn Predict() -> impl IntoView {
    let page = expect_context::<Page>();
    let (form, session) = (page.prediction, page.session);
    prediction::follow(page);
    let lists =
        Memo::new(move |_| form.reply.with(|reply| reply.as_ref().map(|r| (r.models.clone(), r.devices.clone()))));
    let loaded = Memo::new(move |_| {
        session.loaded.with(|loaded| loaded.as_ref().map(|loaded| (loaded.target.clone(), loaded.draft.clone())))
    });
    let not_here = Memo::new(move |_| form.reply.with(|reply| reply.as_ref().and_then(|r| r.not_here.clone())));
    let named = move |which: fn(&(Vec<Listed>, Vec<Listed>)) -> &Vec<Listed>, now: RwSignal<String>| -> Choices {
        let listed = lists.with(|lists| lists.as_ref().map(|lists| which(lists).clone()).unwrap_or_default());
        let all: Choices = listed.into_iter().map(|Listed { name, label }| (name, label, true)).collect();
        // Until the list is there, what is chosen.
        if all.is_empty() { vec![(now.get(), now.get(), true)] } else { all }
    };
    let of_loaded = move |value: &str| {
        let name = loaded.with(|loaded| {
            loaded.clone().and_then(|(target, draft)| if value == TARGET { Some(target) } else { draft })
        });
        (value.to_owned(), format!("{}, loaded", name.clone().unwrap_or_else(|| "none".into())), name.is_some())
    };
    let models = Signal::derive(move || {
        let mut all = vec![of_loaded(TARGET)];
        all.extend(named(|lists| &lists.0, form.model));
        all
    });
    let drafts = Signal::derive(move || {
        let mut all = vec![(NONE.to_owned(), "none: plain decoding".to_owned(), true), of_loaded(DRAFT)];
        all.extend(named(|lists| &lists.0, form.draft).into_iter().filter(|(name, ..)| name != NONE));
        all
    });
    let devices = Signal::derive(move || {
        let here = lists.with(Option::is_some) && not_here.with(Option::is_none);
        let mut all = vec![(HERE.to_owned(), "this device, as measured".to_owned(), here)];
        all.extend(named(|lists| &lists.1, form.device).into_iter().filter(|(name, ..)| name != HERE));
        all
    });
    let dtypes =
        Signal::derive(|| DTYPES.map(|dtype| (dtype.name().to_owned(), dtype.name().to_owned(), true)).to_vec());
    let drafted = move || form.draft.with(|draft| draft != NONE);
    let numbers = [form.input, form.output, form.batch, form.chunk, form.tensor_parallel];
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Predict"</h1>
            <p class="hint">
                "What a model would take on a device, by arithmetic: each operator takes as long as its multiply-adds or \
                 its bytes. Nothing needs to be loaded for it. " <Ask about=&d::ROOFLINE />
            </p>
            <div class="composer panel">
                <div class="fields chosen">
                    <Select id="model" label="Model" value=form.model all=models />
                    <Select id="device" label="Device" value=form.device all=devices />
                    <Select id="dtype" label="Weights" value=form.dtype all=dtypes />
                    <Select id="draft" label="Draft" value=form.draft all=drafts />
                    <Show when=drafted>
                        <div class="field">
                            <span class="label">
                                <label for="acceptance">"acceptance"</label>
                                {explain("acceptance").map(|about| view! { <Ask about /> })}
                            </span>
                            <input id="acceptance" type="text" autocomplete="off" bind:value=form.acceptance />
                        </div>
                    </Show>
                </div>
                <div class="fields">{numbers.map(|field| view! { <NumberField field /> })}</div>
                <div class="actions">
                    <button
                        type="button"
                        class="quiet"
                        disabled=move || !session.is_ready() || form.measuring.with(Option::is_some)
                        on:click=move |_| prediction::measure(page)
                    >
                        "Measure this device"
                    </button>
                    <Show when=move || form.measuring.with(Option::is_some)>
                        <button type="button" class="quiet" on:click=move |_| session.stop()>"Stop"</button>
                    </Show>
                    <span class="live">{form.measuring}</span>
                    <Ask about=&d::THIS_DEVICE />
                </div>
                {move || not_here.get().map(|why| view! { <p class="hint">{why} "."</p> })}
                {move || form.problem.get().map(|message| view! { <p class="problem" role="alert">{message}</p> })}
            </div>
            {move || waits(page).map(|what| view! { <p class="hint">{what}</p> })}
            {move || form.reply.with(|reply| reply.as_ref().map(|reply| results(reply)))}
        </section>
    }
}

/// Why nothing is predicted at the moment.
fn waits(page: Page) -> Option<&'static str> {
    let timed = page.session.stage.with(|stage| matches!(stage, Stage::Calibrating | Stage::Generating));
    timed.then_some("The engine is being timed: a prediction waits for its end, not to disturb it.")
}

fn results(reply: &PredictReply) -> impl IntoView + use<> {
    let figure = |PredictedFigure { id, value }: &PredictedFigure| {
        let definition = explain(id)?;
        let text = match (definition.unit, value) {
            ("ms", value) => format::duration(*value),
            ("bytes", Some(value)) => format::bytes(*value as u64),
            (unit, Some(value)) => format!("{} {unit}", format::rounded(*value)),
            (_, None) => "not known".into(),
        };
        Some(Figure::new(definition, text))
    };
    view! {
        <p class="predicted-title">{reply.title.clone()}</p>
        {figures(reply.figures.iter().filter_map(figure))}
        <div class="predicted" inner_html=reply.html.clone()></div>
    }
}

#[component]
fn Select(id: &'static str, label: &'static str, value: RwSignal<String>, all: Signal<Choices>) -> impl IntoView {
    let option = move |(name, label, enabled): (String, String, bool)| {
        let of = name.clone();
        view! { <option value=name disabled=!enabled prop:selected=move || value.with(|value| *value == of)>{label}</option> }
    };
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <select id=id on:change=move |event| value.set(event_target_value(&event))>
                {move || all.get().into_iter().map(option).collect_view()}
            </select>
        </div>
    }
}
