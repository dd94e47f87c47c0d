//! The time between read-backs: a bar each.

use leptos::prelude::*;

use super::{Axis, ONE_OR_MANY, plot};
use crate::components::table::Table;
use crate::state::run::Emission;
use crate::wording::definitions as d;
use crate::wording::format;

pub fn gaps(emissions: &[Emission]) -> impl IntoView + use<> {
    let all: Vec<(f64, usize)> =
        emissions.windows(2).map(|pair| (pair[1].at_ms - pair[0].at_ms, pair[1].tokens)).collect();
    let largest = all.iter().map(|&(gap, _)| gap).fold(0.0, f64::max);
    let count = all.len();
    // A bar ends at its read-back, counted from 1.
    let (x, y) = (Axis::counting(count, "read-back"), Axis::to(largest, "ms"));
    let bars = all.iter().enumerate().map(|(nth, &(gap, tokens))| {
        let (left, height) = (x.at(nth as f64 + 0.1), y.at(gap));
        let class = if tokens > 1 { "bar many" } else { "bar one" };
        view! {
            <rect
                class=class
                x=format!("{left:.2}")
                y=format!("{:.2}", 100.0 - height)
                width=format!("{:.2}", x.at(0.8))
                height=format!("{height:.2}")
            >
                <title>{format!("{}, {}", format::duration(Some(gap)), format::count(tokens, "token"))}</title>
            </rect>
        }
    });
    let marks = bars.collect_view();
    let rows = all
        .iter()
        .enumerate()
        .map(|(nth, &(gap, tokens))| [(nth + 1).to_string(), format::rounded(gap), tokens.to_string()]);
    let table = Table::new(["read-back", "gap, ms", "tokens"], rows);
    let title = format!("{count} gaps between read-backs, the longest {}", format::duration(Some(largest)));
    plot(&d::ITL, title, (x, y), marks, ONE_OR_MANY, table)
}
