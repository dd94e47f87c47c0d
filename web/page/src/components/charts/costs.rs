//! What passes cost by the number of their rows: the target's verification, a level of the draft.

use leptos::prelude::*;
use understory_charts::path;
use understory_protocol::Costs;

use super::{Axis, plot, point};
use crate::components::table::Table;
use crate::wording::definitions as d;
use crate::wording::format;
use crate::wording::order::distinct;

pub fn costs(costs: &Costs) -> impl IntoView + use<> {
    let all = || costs.verify_ms.iter().chain(&costs.draft_ms);
    let rows = all().map(|&(rows, _)| rows).max().unwrap_or(1);
    let largest = all().map(|&(_, ms)| ms).fold(0.0, f64::max);
    let (x, y) = (Axis::counting(rows, "rows"), Axis::to(largest, "ms"));
    let curve = |samples: &[(usize, f64)], class: &'static str, what: &'static str| {
        let places: Vec<(f64, f64)> = samples.iter().map(|&(rows, ms)| (x.at(rows as f64), 100.0 - y.at(ms))).collect();
        let line = path::line(places.iter().copied());
        let points = places.into_iter().zip(samples).map(|(at, &(rows, ms))| {
            point(at, class, format!("{what} {}: {}", format::count(rows, "row"), format::duration(Some(ms))))
        });
        view! { <path class=format!("line {class}") d=line /> {points.collect_view()} }
    };
    let plain = 100.0 - y.at(costs.plain_ms);
    let marks = view! {
        <path class="line plain" d=format!("M0 {plain:.2}H100")>
            <title>{format!("a plain step: {}", format::duration(Some(costs.plain_ms)))}</title>
        </path>
        {curve(&costs.verify_ms, "verify", "checking")}
        {curve(&costs.draft_ms, "draft", "drafting")}
    };
    let title = format!(
        "Milliseconds over rows: checking {} takes {}, a plain step {}",
        format::count(rows, "row"),
        format::duration(Some(largest)),
        format::duration(Some(costs.plain_ms))
    );
    let key = &[("verify", "checking with the target"), ("draft", "a level of drafting"), ("plain", "a plain step")];
    plot(&d::COSTS, title, (x, y), marks, key, table(costs))
}

fn table(costs: &Costs) -> Table {
    let counts = distinct(costs.verify_ms.iter().chain(&costs.draft_ms).map(|&(rows, _)| rows));
    let of = |samples: &[(usize, f64)], rows: usize| {
        format::number(samples.iter().find(|sample| sample.0 == rows).map(|sample| sample.1))
    };
    let rows = counts.into_iter().map(|rows| [rows.to_string(), of(&costs.verify_ms, rows), of(&costs.draft_ms, rows)]);
    Table::new(["rows", "checking, ms", "drafting, ms"], rows)
}
