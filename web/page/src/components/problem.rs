//! Why something has no result, what to do about it, and the button that does it.

use leptos::prelude::*;

use crate::state::Page;
use crate::state::choice::ModelChoice;
use crate::wording::notice::{Notice, Remedy};

/// What went wrong with a form's last request, while there is something.
pub fn problem(of: RwSignal<Option<Notice>>) -> AnyView {
    let page = expect_context::<Page>();
    let shown = move |Notice { message, advice, remedy }: Notice| {
        let button = remedy.map(|remedy| remedy_button(page, remedy, "quiet", of));
        let advice = (!advice.is_empty()).then(|| view! { <span class="advice">{advice.into_owned()}</span> });
        view! { <p class="problem" role="alert">{message} {advice} {button}</p> }
    };
    (move || of.get().map(shown)).into_any()
}

/// Does what the remedy is; `of` is told no more then.
pub fn remedy_button(page: Page, remedy: Remedy, class: &'static str, of: RwSignal<Option<Notice>>) -> AnyView {
    let label = move || match remedy {
        Remedy::BundledPair => "Load the bundled pair",
        Remedy::Restart if page.session.engines.is_native() => "Connect again",
        Remedy::Restart => "Restart the engine",
    };
    let act = move |_| {
        of.set(None);
        match remedy {
            Remedy::BundledPair => page.session.change(ModelChoice::default()),
            Remedy::Restart => page.session.start(),
        }
    };
    view! { <button type="button" class=class on:click=act>{label}</button> }.into_any()
}
