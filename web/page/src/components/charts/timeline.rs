//! Tokens over time: a point a read-back.

use leptos::prelude::*;
use understory_charts::path;

use super::{Axis, ONE_OR_MANY, plot, point};
use crate::components::table::Table;
use crate::state::run::Emission;
use crate::wording::definitions as d;
use crate::wording::format;

pub fn timeline(emissions: &[Emission]) -> impl IntoView + use<> {
    let sofar: Vec<(f64, usize, usize)> = emissions
        .iter()
        .scan(0, |sum, emission| {
            *sum += emission.tokens;
            Some((emission.at_ms, emission.tokens, *sum))
        })
        .collect();
    let (last_ms, all) = sofar.last().map_or((0.0, 0), |&(at, _, sum)| (at, sum));
    let (x, y) = (Axis::to(last_ms, "ms"), Axis::to(all as f64, "tokens"));
    let place = |at: f64, sum: usize| (x.at(at), 100.0 - y.at(sum as f64));
    let line = path::steps((0.0, 100.0), sofar.iter().map(|&(at, _, sum)| place(at, sum)));
    let points = sofar.iter().map(|&(at, tokens, sum)| {
        let title = format!("{} at {}, {sum} so far", format::count(tokens, "token"), format::duration(Some(at)));
        point(place(at, sum), if tokens > 1 { "many" } else { "one" }, title)
    });
    let marks = view! { <path class="line" d=line /> {points.collect_view()} };
    let rows = sofar.iter().map(|&(at, tokens, sum)| [format::rounded(at), tokens.to_string(), sum.to_string()]);
    let table = Table::new(["at, ms", "tokens", "so far"], rows);
    let title = format!("{all} tokens in {} read-backs over {}", sofar.len(), format::duration(Some(last_ms)));
    plot(&d::EMISSIONS, title, (x, y), marks, ONE_OR_MANY, table)
}
