//! Models worth trying: fetched when they are first looked at, since few visits do.

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::ModelSource;
use understory_protocol::catalogue::{CatalogueModel, Fit, Room};
use wasm_bindgen::JsValue;

use super::model_form::ModelForm;
use super::session::Session;
use crate::platform::values::{get, number, text};
use crate::platform::{facts, files};

const FILE: &str = "./models/catalogue.json";
/// Browsers state no more memory than this: there may be any amount beyond.
const MOST_STATED_BYTES: u64 = 8 << 30;

#[derive(Clone, Copy)]
pub struct Catalogue {
    /// `None` until it is here; empty where it could not be read
    pub models: RwSignal<Option<Vec<CatalogueModel>>>,
    session: Session,
    form: ModelForm,
}

impl Catalogue {
    pub fn new(session: Session, form: ModelForm) -> Self {
        Self { models: RwSignal::new(None), session, form }
    }

    pub fn fetch(self) {
        if self.models.with_untracked(|models| models.as_ref().is_some_and(|models| !models.is_empty())) {
            return;
        }
        spawn_local(async move {
            let read = files::json(FILE)
                .await
                .map(|list| js_sys::Array::from(&list).iter().filter_map(|of| model(&of)).collect());
            self.models.set(Some(read.unwrap_or_default()));
        });
    }

    /// All files of the model are in this browser.
    pub fn is_kept(self, id: &str) -> bool {
        self.form.kept.with(|kept| {
            let mut models = kept.iter().flat_map(|kept| &kept.models);
            models.any(|model| {
                model.kept_bytes == model.bytes
                    && matches!(&model.source, ModelSource::Hub { repo, revision: None } if repo == id)
            })
        })
    }

    /// Whether the model fits, as far as is known: of the native engine's computer the adapter alone tells something.
    pub fn fit(self, model: &CatalogueModel) -> Fit {
        let in_browser = !self.session.engines.is_native();
        let memory = facts::memory_bytes().filter(|_| in_browser);
        // A device has the memory for a buffer that it offers.
        let buffer =
            self.session.loaded.with(|loaded| loaded.as_ref().map(|loaded| loaded.device.limits.max_buffer_size));
        let room = Room {
            // Of the computer's memory the system and the browser take their part.
            at_least: memory.map(|memory| memory / 4 * 3).max(buffer),
            at_most: memory.filter(|memory| *memory < MOST_STATED_BYTES),
            storage: self.form.kept.with(|kept| {
                let kept = kept.as_ref().filter(|_| in_browser)?;
                Some(kept.quota_bytes?.saturating_sub(kept.usage_bytes?))
            }),
        };
        Fit::of(model, self.is_kept(&model.id), &room)
    }
}

/// An entry, read field by field: serde's reader of it would weigh as much as the cards. `None` where one is missing.
fn model(of: &JsValue) -> Option<CatalogueModel> {
    let whole = |name| number(of, name).map(|number| number as u64);
    let flag = |name| get(of, name)?.as_bool();
    Some(CatalogueModel {
        id: text(of, "id")?,
        title: text(of, "title")?,
        family: text(of, "family")?,
        shape: text(of, "shape")?,
        parameters: whole("parameters")?,
        format: text(of, "format")?,
        dtype: text(of, "dtype")?,
        download_bytes: whole("download_bytes")?,
        exact: flag("exact")?,
        kv_bytes: whole("kv_bytes")?,
        memory_bytes: whole("memory_bytes")?,
        licence: text(of, "licence")?,
        gated: flag("gated")?,
        draft: text(of, "draft"),
        sha256: text(of, "sha256"),
    })
}
