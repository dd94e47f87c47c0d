//! What the engine does before it is ready, and what went wrong with it.

use leptos::prelude::*;
use understory_protocol::Progress;

use super::problem::remedy_button;
use crate::state::Page;
use crate::state::session::{EngineProblem, LoadStep, Stage};
use crate::wording::format;

#[component]
pub fn Status() -> impl IntoView {
    let page = expect_context::<Page>();
    let stage = page.session.stage;
    view! {
        <div class="status" role="status">
            {move || match stage.get() {
                Stage::Starting => waiting("Starting the engine").into_any(),
                Stage::Loading(step) => loading(&step).into_any(),
                Stage::Calibrating => waiting("Compiling the kernels that check several tokens at once, and measuring what that costs here").into_any(),
                Stage::Ready if page.session.learning.get() => learning().into_any(),
                Stage::Ready | Stage::Generating => ().into_any(),
                Stage::Failed(problem) => failed(page, problem),
            }}
            {move || page.session.recovered.get().map(recovered)}
        </div>
    }
}

fn learning() -> impl IntoView {
    let what = "Measuring this device, while nothing else is asked for. Generate works already; guesses begin when it is done.";
    view! { <p class="hint">{what}</p> }
}

fn waiting(what: &'static str) -> impl IntoView {
    view! {
        <div class="panel progress">
            <label>{what} "…" <progress></progress></label>
        </div>
    }
}

fn loading(step: &LoadStep) -> impl IntoView {
    let model = if step.draft { "draft model" } else { "target model" };
    let (what, done, total) = match step.progress {
        None => ("Fetching the models".into(), 0, 0),
        Some(Progress::Fetch { done_bytes, total_bytes }) => {
            let of = format!("{} of {}", format::bytes(done_bytes), format::bytes(total_bytes));
            (format!("Fetching the models: {of}"), done_bytes, total_bytes)
        }
        Some(Progress::Upload { done_bytes, total_bytes }) => {
            let of = format!("{} of {}", format::bytes(done_bytes), format::bytes(total_bytes));
            (format!("Uploading the {model}: {of}"), done_bytes, total_bytes)
        }
        Some(Progress::Pipelines { done, total }) => {
            (format!("Compiling the {model}'s kernels: {done} of {total}"), done as u64, total as u64)
        }
        Some(Progress::Tokens { done, total }) => (format!("Reading: {done} of {total}"), done as u64, total as u64),
    };
    // Without a value the bar says that it does not know.
    let value = (total > 0).then(|| done.to_string());
    view! {
        <div class="panel progress">
            <label>{what} <progress max=total.max(1).to_string() value=value></progress></label>
        </div>
    }
}

fn recovered(reason: String) -> impl IntoView {
    let lost = "The device was lost in the middle of this text and opened again; the text went on, its times are those of \
        the part after that.";
    view! { <p class="panel">{lost} " (" {reason} ")"</p> }
}

fn failed(page: Page, EngineProblem { title, notice }: EngineProblem) -> AnyView {
    let button = notice.remedy.map(|remedy| remedy_button(page, remedy, "primary", page.live.problem));
    view! {
        <div class="panel failure" role="alert">
            <h2>{title}</h2>
            <p>{notice.message}</p>
            <p>{notice.advice.into_owned()}</p>
            {button}
        </div>
    }
    .into_any()
}
