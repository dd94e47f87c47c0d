//! A card for each model of the catalogue: what it is, whether it fits, and a button that fetches and loads it.

use std::sync::Arc;

use leptos::prelude::*;
use understory_protocol::HubAccess;
use understory_protocol::catalogue::CatalogueModel;

use crate::state::Page;
use crate::wording::catalogue as wording;

#[component]
pub fn ModelCards() -> impl IntoView {
    let page = expect_context::<Page>();
    page.catalogue.fetch();
    let cards = move |models: Vec<CatalogueModel>| {
        if models.is_empty() {
            return view! { <p class="hint">"The list could not be read. Load the page again."</p> }.into_any();
        }
        let draft = |model: &CatalogueModel| models.iter().find(|other| Some(&other.id) == model.draft.as_ref());
        let cards: Vec<AnyView> = models.iter().map(|model| card(page, model, draft(model))).collect();
        view! { <ul class="cards" aria-labelledby="catalogue">{cards}</ul> }.into_any()
    };
    view! {
        <h2 id="catalogue">"Worth trying"</h2>
        <p class="hint">
            "Fetched from the hub, checked and kept in this browser. A pair is a model and a draft with the same tokenizer."
        </p>
        {move || page.catalogue.models.get().map(cards)}
    }
}

fn card(page: Page, model: &CatalogueModel, draft: Option<&CatalogueModel>) -> AnyView {
    let (catalogue, shown) = (page.catalogue, Arc::new(model.clone()));
    let fit = move || wording::fit(catalogue.fit(&shown), catalogue.is_kept(&shown.id));
    let gated = model.gated.then(|| {
        let address = format!("{}/{}", HubAccess::ENDPOINT, model.repository());
        view! {
            <p class="note">
                "Gated: accept the licence on " <a href=address target="_blank" rel="noreferrer">"its page"</a>
                ", and give an access token of that account above, under Hub."
            </p>
        }
    });
    let (title, files) = (&model.title, wording::files(model));
    let mut buttons = vec![button(page, "Load", format!("Load {title}, {files}"), &model.id, None)];
    if let Some(draft) = draft {
        let label = format!("Load the pair: {title} with {} as draft, {files}", draft.title);
        buttons.push(button(page, "Load the pair", label, &model.id, Some(&draft.id)));
    }
    let lines = wording::lines(model, draft).into_iter().map(|line| view! { <p>{line}</p> }.into_any());
    view! {
        <li class="panel">
            <h3>{title.clone()}</h3>
            {lines.collect::<Vec<AnyView>>()}
            <p class="fit">{fit}</p>
            {gated}
            <div class="actions">{buttons}</div>
        </li>
    }
    .into_any()
}

/// Loads the model `target`, with a draft if there is one; what is said of it stands above the view.
fn button(page: Page, text: &'static str, label: String, target: &str, draft: Option<&str>) -> AnyView {
    let (target, draft) = (target.to_owned(), draft.map(str::to_owned));
    let load = move |_| {
        page.models.load_from_hub(&target, draft.as_deref());
        window().scroll_to_with_x_and_y(0.0, 0.0);
    };
    view! {
        <button type="button" class="quiet" aria-label=label disabled=move || !page.session.is_free() on:click=load>
            {text}
        </button>
    }
    .into_any()
}
