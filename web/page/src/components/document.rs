//! A whole document of the engine's making within the page: a report, or reports side by side.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{HtmlElement, ResizeObserver};

/// As high as what it holds. Texts in it come from strangers' files, so nothing in it may run: its sandbox allows no
/// script, and the document itself forbids them too. Its origin is the page's only so that its height can be read.
pub fn document(title: &'static str, html: String) -> AnyView {
    let frame = NodeRef::<html::Iframe>::new();
    let observer = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn FnMut()>)>);
    let root = move || frame.get_untracked()?.content_document()?.document_element();
    let fit = move || {
        if let (Some(frame), Some(root)) = (frame.get_untracked(), root()) {
            // Of another realm, so it is no `HtmlElement` of this one.
            let height = root.unchecked_into::<HtmlElement>().offset_height();
            let _ = frame.set_attribute("height", &height.to_string());
        }
    };
    let watch = move |_| {
        fit();
        let changed = Closure::<dyn FnMut()>::new(fit);
        if let (Ok(watcher), Some(root)) = (ResizeObserver::new(changed.as_ref().unchecked_ref()), root()) {
            watcher.observe(&root);
            observer.set_value(Some((watcher, changed)));
        }
    };
    on_cleanup(move || {
        if let Some((watcher, _)) = observer.try_update_value(Option::take).flatten() {
            watcher.disconnect();
        }
    });
    view! {
        <iframe class="document" node_ref=frame title=title sandbox="allow-same-origin" srcdoc=html on:load=watch></iframe>
    }
    .into_any()
}
