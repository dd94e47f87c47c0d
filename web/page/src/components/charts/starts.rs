//! Starts by their phases: a bar for each state, one key, and a table of every run.

use leptos::prelude::*;

use crate::components::ask::Ask;
use crate::components::table::{Table, twin};
use crate::state::starts::record::{PHASES, REMAINDER, Start, State, median};
use crate::wording::definitions as d;
use crate::wording::format;

pub fn starts(results: &[Start]) -> impl IntoView + use<> {
    let shown: Vec<&Start> = State::ALL.into_iter().filter_map(|state| median(results, state)).collect();
    let key = PHASES.into_iter().enumerate().filter(|(_, phase)| shown.iter().any(|s| s.phase_ms(phase).is_some()));
    let key = key.map(|(nth, phase)| {
        view! {
            <li>
                <svg class="swatch" viewBox="0 0 1 1" aria-hidden="true">
                    <rect class=format!("part p{nth}") width="1" height="1" />
                </svg>
                {phase}
            </li>
        }
    });
    view! {
        <figure class="chart">
            <figcaption>{d::START_PHASES.name} " " <Ask about=&d::START_PHASES /></figcaption>
            {shown.iter().map(|start| bar(start)).collect_view()}
            <ul class="parts">{key.collect_view()}</ul>
            {twin(table(results))}
        </figure>
    }
}

fn bar(start: &Start) -> impl IntoView + use<> {
    // A remainder below 0, by rounding clocks, has no width.
    let all: f64 = start.phases_ms.iter().map(|&(_, ms)| ms.max(0.0)).sum();
    let mut left = 0.0;
    let rects = start.phases_ms.iter().map(|(phase, ms)| {
        let share = 100.0 * ms.max(0.0) / all.max(f64::MIN_POSITIVE);
        let x = left;
        left += share;
        let nth = PHASES.iter().position(|name| name == phase).unwrap_or(PHASES.len() - 1);
        view! {
            <rect class=format!("part p{nth}") x=format!("{x:.2}") y="0" width=format!("{share:.2}") height="100">
                <title>{format!("{phase}: {}", format::duration(Some(*ms)))}</title>
            </rect>
        }
    });
    let rects = rects.collect_view();
    let (name, total) = (start.state.name(), format::duration(Some(start.total_ms)));
    let longest = start.phases_ms.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let longest = longest.map(|(phase, ms)| format!(", the longest {phase}, {}", format::duration(Some(*ms))));
    view! {
        <p class="bar-name">{name} ": " {total.clone()} " from " {start.counted_from.clone()} " to the second token"</p>
        <svg class="phases" viewBox="0 0 100 100" preserveAspectRatio="none" role="img">
            <title>{format!("{name}: {total}{}", longest.unwrap_or_default())}</title>
            {rects}
        </svg>
    }
}

/// A column for each run, in the order in which they were measured.
fn table(results: &[Start]) -> Table {
    let numbered = |start: &Start, nth: usize| {
        let before = results[..nth].iter().filter(|other| other.state == start.state).count();
        format!("{} {}", start.state.name(), before + 1)
    };
    let names = results.iter().enumerate().map(|(nth, start)| numbered(start, nth));
    let columns = ["ms".to_owned()].into_iter().chain(names).collect();
    let row = |name: &str, of: &dyn Fn(&Start) -> Option<f64>| -> Vec<String> {
        [name.to_owned()].into_iter().chain(results.iter().map(|start| format::number(of(start)))).collect()
    };
    let happened = |phase: &&str| *phase == REMAINDER || results.iter().any(|start| start.phase_ms(phase).is_some());
    let phases = PHASES.into_iter().filter(happened).map(|phase| row(phase, &|start| start.phase_ms(phase)));
    let totals = [row("total", &|start| Some(start.total_ms)), row("TTFT", &|start| start.ttft_ms)];
    Table { columns, rows: phases.chain(totals).collect() }
}
