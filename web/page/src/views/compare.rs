//! Compare: reports of several devices side by side.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::{File, HtmlInputElement};

use crate::components::document::document;
use crate::components::problem::problem;
use crate::platform::{download, folders, storage};
use crate::state::Page;
use crate::state::report_loader::ReportEntry;

#[component]
pub fn Compare() -> impl IntoView {
    let page = expect_context::<Page>();
    let reports = page.reports;
    let none = move || reports.entries.with(Vec::is_empty);
    let own_is_here = move || {
        let own = reports.own.get();
        let is_it =
            |entry: &ReportEntry| entry.loaded.as_ref().and_then(|loaded| loaded.run_id.as_ref()) == own.as_ref();
        own.is_some() && reports.entries.with(|entries| entries.iter().any(is_it))
    };
    let offers_own = move || !own_is_here() && (reports.own.with(Option::is_some) || storage::report().is_some());
    let save = move |_| {
        let saved = reports.html.with_untracked(|html| {
            html.as_ref().map_or(Ok(()), |html| download::text("comparison.html", "text/html", html))
        });
        if let Err(message) = saved {
            reports.problem.set(Some(message.into()));
        }
    };
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Compare"</h1>
            <p class="hint">
                "Reports of Bench or of understory bench. Only like is compared with like (the same model files, prompt, "
                "method, length), and ties are said to be ties. The files stay in this browser."
            </p>
            <div class="panel models">
                {take(page)}
                {move || offers_own().then(|| view! {
                    <div class="actions">
                        <button class="quiet" on:click=move |_| reports.add_own()>"Add this device's last report"</button>
                    </div>
                })}
                <ol class="kept">
                    {move || {
                        let entries = reports.entries.get().into_iter().enumerate();
                        entries.map(|(nth, entry)| listed(page, nth, entry)).collect_view()
                    }}
                </ol>
                {problem(reports.problem)}
            </div>
            {move || none().then(|| view! { <p class="hint">"Add two or more reports; one alone is shown as it is."</p> })}
            {move || reports.html.get().map(|html| view! {
                <div class="actions"><button class="quiet" on:click=save>"Save as HTML"</button></div>
                {document("The reports", html)}
            })}
        </section>
    }
}

/// Where files come in.
fn take(page: Page) -> AnyView {
    let reports = page.reports;
    let over = RwSignal::new(false);
    let take = move |files: Result<Vec<(String, File)>, String>| match files {
        Ok(files) if files.is_empty() => reports.problem.set(Some("No .json file is among them.".into())),
        Ok(files) => reports.add_files(files),
        Err(message) => reports.problem.set(Some(message.into())),
    };
    let choose = move |event: web_sys::Event| {
        let input = event.target().and_then(|input| input.dyn_into::<HtmlInputElement>().ok());
        if let Some((input, list)) = input.and_then(|input| Some((input.clone(), input.files()?))) {
            let mut files = folders::listed(&list);
            // A folder may hold anything.
            files.retain(|(name, _)| !name.contains('/') || name.ends_with(".json"));
            take(Ok(files));
            // The same file may be chosen again after it was changed.
            input.set_value("");
        }
    };
    let drop = move |event: web_sys::DragEvent| {
        event.prevent_default();
        over.set(false);
        let Some(transfer) = event.data_transfer() else { return };
        let entries = folders::dropped(&transfer);
        // What a program drops has no entries.
        let loose = if entries.is_empty() { transfer.files() } else { None };
        spawn_local(async move { take(folders::files(entries, loose, ".json").await) });
    };
    let drag = move |event: web_sys::DragEvent| {
        event.prevent_default();
        over.set(true);
    };
    view! {
        <div class="drop" class:over=over on:dragover=drag on:dragleave=move |_| over.set(false) on:drop=drop>
            <div class="field">
                <label for="reports">"Reports"</label>
                <input id="reports" type="file" multiple accept=".json,application/json" on:change=choose />
            </div>
            <div class="field">
                <label for="folder">"Folder"</label>
                <input id="folder" type="file" prop:webkitdirectory=true on:change=choose />
            </div>
            <p class="hint">"Choose report.json files or a folder of them, or drop them here."</p>
        </div>
    }
    .into_any()
}

/// A report, or what is none and why.
fn listed(page: Page, nth: usize, entry: ReportEntry) -> AnyView {
    let reports = page.reports;
    let id = entry.id;
    let (run_id, words) = match entry.loaded {
        Some(loaded) => (loaded.run_id, loaded.words),
        None => (Some(String::new()), format!("{} is being read", entry.input.name)),
    };
    let own = run_id.is_some() && run_id == reports.own.get();
    let refused = run_id.is_none();
    let name = (!refused).then(|| view! { <br /> <small>{entry.input.name}</small> });
    let mark = own.then(|| view! { " " <span class="badge good">"this device"</span> });
    let (first, remove) = (format!("Make report {} the first", nth + 1), format!("Remove report {}", nth + 1));
    view! {
        <li>
            <p class:problem=refused>{words} {mark} {name}</p>
            <span class="actions">
                {(nth > 0 && !refused).then(|| view! {
                    <button class="quiet" aria-label=first on:click=move |_| reports.make_first(id)>"Make first"</button>
                })}
                <button class="quiet" aria-label=remove on:click=move |_| reports.remove(id)>"Remove"</button>
            </span>
        </li>
    }
    .into_any()
}
