//! Views that are not there yet.

use leptos::prelude::*;

use crate::route::Route;

#[component]
pub fn Soon(route: Route) -> impl IntoView {
    let what = match route {
        Route::Compare => "Comparing reports of several devices comes with the latency lab.",
        _ => "Benchmarks with their raw runs and intervals come with the latency lab.",
    };
    view! {
        <section aria-labelledby="view">
            <h1 id="view">{route.label()}</h1>
            <p>{what}</p>
        </section>
    }
}
