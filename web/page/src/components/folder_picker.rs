//! A folder of the person's own, or GGUF files, chosen or dropped.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;

use crate::platform::folders::{self, Folder};
use crate::state::Page;
use crate::state::model_form::Role;

#[component]
pub fn FolderPicker(role: Role) -> impl IntoView {
    let page = expect_context::<Page>();
    let name = page.models.fields(role).folder;
    let over = RwSignal::new(false);
    let take = move |folder: Result<Folder, String>| match folder {
        Ok(folder) => page.models.take_folder(role, folder),
        Err(message) => page.models.problem.set(Some(message.into())),
    };
    let choose = move |event: web_sys::Event| {
        let input = event.target().and_then(|input| input.dyn_into::<web_sys::HtmlInputElement>().ok());
        let Some(input) = input else { return };
        // A dialogue that was left without a choice changes nothing.
        if let Some(folder) = input.files().and_then(|files| folders::chosen(&files)) {
            take(Ok(folder));
        }
        // The line below says what is chosen; both inputs would, each its own.
        input.set_value("");
    };
    let drop = move |event: web_sys::DragEvent| {
        event.prevent_default();
        over.set(false);
        if let Some(transfer) = event.data_transfer() {
            let entries = folders::dropped(&transfer);
            spawn_local(async move { take(folders::read(entries).await) });
        }
    };
    let drag = move |event: web_sys::DragEvent| {
        event.prevent_default();
        over.set(true);
    };
    let input = |label: &'static str, what: &'static str| {
        let (id, is_folder) = (format!("{}-{what}", role.label().to_ascii_lowercase()), what == "folder");
        view! {
            <div class="field">
                <label for=id.clone()>{label}</label>
                <input
                    id=id
                    type="file"
                    prop:accept=if is_folder { "" } else { ".gguf" }
                    prop:multiple=true
                    prop:webkitdirectory=is_folder
                    on:change=choose
                />
            </div>
        }
    };
    view! {
        <div class="drop" class:over=over on:dragover=drag on:dragleave=move |_| over.set(false) on:drop=drop>
            <div class="fields">{[input("Folder", "folder"), input("GGUF file", "file")]}</div>
            <p class="hint">
                {move || match name.get() {
                    Some(name) => format!("“{name}” is chosen. Its files stay where they are."),
                    None => {
                        "Choose a folder in Hugging Face layout or a GGUF file (of a split model, all of its files), or \
                         drop it here."
                            .into()
                    }
                }}
            </p>
        </div>
    }
}
