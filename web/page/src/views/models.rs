//! Models: which are loaded, others to load, what the browser keeps of them, and which are worth trying.

use leptos::prelude::*;
use understory_protocol::{ModelSource, Request, StoredModel};

use crate::components::folder_picker::FolderPicker;
use crate::components::model_cards::ModelCards;
use crate::components::problem::problem;
use crate::state::Page;
use crate::state::model_form::{KeptModels, Role, SourceKind};
use crate::state::session::Stage;
use crate::wording::format;

#[component]
pub fn Models() -> impl IntoView {
    let page = expect_context::<Page>();
    let (session, form) = (page.session, page.models);
    // Whatever was loaded, or failed to be, may have changed what is kept.
    Effect::new(move || {
        if session.is_free() {
            form.ask_kept(Request::Models);
        }
    });
    let is_free = move || session.is_free();
    let is_loading = move || session.stage.with(|stage| matches!(stage, Stage::Loading(_)));
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if is_free() {
            form.load();
        }
    };
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Models"</h1>
            <p class="hint">{move || loaded(page)}</p>
            <form class="panel models" novalidate=true on:submit=submit>
                <div class="sides">
                    <SourceFields role=Role::Target />
                    <SourceFields role=Role::Draft />
                </div>
                <details>
                    <summary>"Hub"</summary>
                    <div class="fields">
                        <Text id="endpoint" label="Endpoint" value=form.endpoint hint="https://huggingface.co" />
                        <div class="field">
                            <label for="token">"Access token"</label>
                            <input id="token" type="password" autocomplete="off" bind:value=form.token />
                        </div>
                    </div>
                    <p class="hint">
                        "Private and gated models need a token. It goes to the endpoint and nowhere else, and is \
                         forgotten when this page is closed."
                    </p>
                </details>
                <label class="switch">
                    <input type="checkbox" bind:checked=form.full_precision />
                    "Weights in f32 instead of f16: twice the memory, for models whose values f16 cannot hold"
                </label>
                <div class="actions">
                    <button class="primary" type="submit" disabled=move || !is_free()>"Load"</button>
                    <Show when=move || is_loading() && !session.choice.with(|choice| choice.is_bundled())>
                        <button type="button" class="quiet" on:click=move |_| form.cancel()>"Cancel"</button>
                    </Show>
                </div>
                {problem(form.problem)}
            </form>
            <h2>"Kept in this browser"</h2>
            {move || form.kept.get().map(|kept| view! { <KeptList kept /> })}
            <ModelCards />
        </section>
    }
}

fn loaded(page: Page) -> String {
    page.session.loaded.with(|loaded| match loaded {
        Some(loaded) => match &loaded.draft {
            Some(draft) => format!("Loaded: {}, drafted for by {draft}.", loaded.target),
            None => format!("Loaded: {}, without a draft model.", loaded.target),
        },
        None => "No model is loaded.".into(),
    })
}

#[component]
fn SourceFields(role: Role) -> impl IntoView {
    let form = expect_context::<Page>().models;
    let fields = form.fields(role);
    let prefix = role.label().to_ascii_lowercase();
    let id = format!("{prefix}-from");
    let choose = move |event| {
        let chosen = event_target_value(&event);
        if let Some(from) = SourceKind::all(role).iter().find(|from| from.label(role) == chosen) {
            fields.from.set(*from);
        }
    };
    let option = move |of: &SourceKind| {
        let of = *of;
        let label = of.label(role);
        view! { <option value=label prop:selected=move || fields.from.get() == of>{label}</option> }
    };
    view! {
        <fieldset on:change=move |_| form.fit_draft(role)>
            <legend>{role.label()}</legend>
            <div class="field">
                <label for=id.clone()>"From"</label>
                <select id=id on:change=choose>{SourceKind::all(role).iter().map(option).collect_view()}</select>
            </div>
            {move || match fields.from.get() {
                SourceKind::Hub => view! {
                    <Text id=format!("{prefix}-repo") label="Repository" value=fields.repo hint="owner/name" />
                    <Text id=format!("{prefix}-revision") label="Revision" value=fields.revision hint="main" />
                    <p class="hint">"Of several GGUF models one: owner/name:Q4_K_M or owner/name/FILE.gguf"</p>
                }
                .into_any(),
                SourceKind::Folder => view! { <FolderPicker role /> }.into_any(),
                SourceKind::Bundled => ().into_any(),
                SourceKind::None => view! { <p class="hint">"Methods that need a draft model are off then."</p> }.into_any(),
            }}
        </fieldset>
    }
}

#[component]
fn Text(#[prop(into)] id: String, label: &'static str, value: RwSignal<String>, hint: &'static str) -> impl IntoView {
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <input
                id=id
                type="text"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                placeholder=hint
                bind:value=value
            />
        </div>
    }
}

#[component]
fn KeptList(kept: KeptModels) -> impl IntoView {
    let KeptModels { models, usage_bytes, quota_bytes, persisted } = kept;
    let room = usage_bytes.zip(quota_bytes).map(|(used, all)| {
        let text = format!("{} of the {} that the browser gives this page", format::bytes(used), format::bytes(all));
        view! {
            <label class="quota">
                {text}
                <meter max=all.to_string() high=(all / 10 * 9).to_string() value=used.to_string()></meter>
            </label>
        }
    });
    let stays = match persisted {
        Some(true) => "The browser keeps them until they are deleted.",
        _ => "The browser may delete them when the disk is full.",
    };
    let none = models.is_empty().then(|| view! { <p class="hint">"Nothing yet."</p> });
    view! {
        {none}
        <ul class="kept">{models.into_iter().map(|model| view! { <KeptEntry model /> }).collect_view()}</ul>
        {room}
        <p class="hint">{stays} " A kept model loads without the network; delete it to fetch it anew."</p>
    }
}

#[component]
fn KeptEntry(model: StoredModel) -> impl IntoView {
    let page = expect_context::<Page>();
    let StoredModel { id, source, commit, bytes, kept_bytes, .. } = model.clone();
    let name = source.label();
    let size = if kept_bytes < bytes {
        format!("{} of {}, not whole: load it to go on", format::bytes(kept_bytes), format::bytes(bytes))
    } else {
        format::bytes(bytes)
    };
    let commit = commit.and_then(|commit| Some(format!(", commit {}", commit.get(..7)?)));
    let is_free = move || page.session.is_free();
    let uses = [Role::Target, Role::Draft].map(|role| {
        let (model, label) = (model.clone(), format!("Use {name} as {}", role.label().to_ascii_lowercase()));
        let fits = match &source {
            ModelSource::Bundled { .. } => page.models.bundled_role(&name) == Some(role),
            _ => true,
        };
        let fill = move |_| page.models.fill(role, &model);
        fits.then(|| {
            view! {
                <button type="button" class="quiet" aria-label=label on:click=fill>
                    "Use as " {role.label().to_ascii_lowercase()}
                </button>
            }
        })
    });
    let delete = move |_| page.models.ask_kept(Request::Forget { model: id.clone() });
    view! {
        <li>
            <p>{name.clone()} " " <small>{size} {commit}</small></p>
            <div class="actions">
                {uses.into_iter().collect_view()}
                <button
                    type="button"
                    class="quiet"
                    aria-label=format!("Delete {name}")
                    disabled=move || !is_free()
                    on:click=delete
                >
                    "Delete"
                </button>
            </div>
        </li>
    }
}
