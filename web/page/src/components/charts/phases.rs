//! Where the time of loading and of a request's start went: a bar each, divided.

use leptos::prelude::*;
use understory_protocol::Phases;

use crate::components::ask::Ask;
use crate::components::table::{Table, twin};
use crate::wording::definitions as d;
use crate::wording::format;

type Part = (&'static str, f64);

pub fn phases(phases: &Phases) -> impl IntoView + use<> {
    let (loading, request): (Vec<Part>, Vec<Part>) = (phases.loading().collect(), phases.request().collect());
    let rows = loading.iter().chain(&request).map(|&(name, ms)| [name.to_owned(), format::rounded(ms)]);
    let table = Table::new(["phase", "ms"], rows);
    view! {
        <figure class="chart">
            <figcaption>{d::PHASES.name} " " <Ask about=&d::PHASES /></figcaption>
            {bar("Loading", loading)}
            {(!request.is_empty()).then(|| bar("Request", request))}
            {twin(table)}
        </figure>
    }
}

fn bar(name: &'static str, parts: Vec<Part>) -> impl IntoView {
    let total: f64 = parts.iter().map(|&(_, ms)| ms).sum();
    let starts = parts.iter().scan(0.0, |sum, &(_, ms)| {
        let start = *sum;
        *sum += ms;
        Some(start)
    });
    let share = |ms: f64| 100.0 * ms / total.max(f64::MIN_POSITIVE);
    let rects = parts.iter().zip(starts).enumerate().map(|(nth, (&(part, ms), start))| {
        view! {
            <rect
                class=format!("part p{nth}")
                x=format!("{:.2}", share(start))
                y="0"
                width=format!("{:.2}", share(ms))
                height="100"
            >
                <title>{format!("{part}: {}", format::duration(Some(ms)))}</title>
            </rect>
        }
    });
    let rects = rects.collect_view();
    let legend = parts.iter().enumerate().map(|(nth, &(part, ms))| {
        view! {
            <li>
                <svg class="swatch" viewBox="0 0 1 1" aria-hidden="true">
                    <rect class=format!("part p{nth}") width="1" height="1" />
                </svg>
                {part} " " {format::duration(Some(ms))}
            </li>
        }
    });
    let sum = format::duration(Some(total));
    view! {
        <p class="bar-name">{name} ": " {sum.clone()}</p>
        <svg class="phases" viewBox="0 0 100 100" preserveAspectRatio="none" role="img">
            <title>{format!("{name}, {sum} in {} phases", parts.len())}</title>
            {rects}
        </svg>
        <ul class="parts">{legend.collect_view()}</ul>
    }
}
