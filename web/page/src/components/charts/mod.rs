//! Charts: a small SVG each, with a title, and a table that says the same.
//!
//! A plot is drawn in a box of 100 by 100 that takes whatever shape the page has; its labels are text of the page and
//! keep their size. Lines keep their width (`non-scaling-stroke`), and a point is a line of no length with round ends.

pub mod costs;
pub mod gaps;
pub mod phases;
pub mod starts;
pub mod timeline;
pub mod tree;

use leptos::prelude::*;
use understory_charts::scale::{self, Scale};

use crate::components::ask::Ask;
use crate::components::table::{Table, twin};
use crate::wording::definitions::Definition;

/// The key of charts of read-backs.
const ONE_OR_MANY: &[(&str, &str)] = &[("one", "one token"), ("many", "several tokens")];

/// From 0 to a round number.
#[derive(Clone, Copy)]
pub struct Axis {
    most: f64,
    label: &'static str,
}

impl Axis {
    pub fn to(largest: f64, label: &'static str) -> Self {
        Self { most: scale::round_up(largest), label }
    }

    /// Of a few things, to the last of them.
    pub fn counting(count: usize, label: &'static str) -> Self {
        Self { most: count.max(1) as f64, label }
    }

    /// Where `value` lies, 0 to 100.
    pub fn at(&self, value: f64) -> f64 {
        Scale::linear([0.0, self.most], [0.0, 100.0]).at(value)
    }

    fn ticks(&self) -> [String; 3] {
        [0.0, 0.5, 1.0].map(|share| scale::label(self.most * share))
    }
}

/// `title` says what the chart shows, as a sentence; `marks` lie in the box of 100 by 100, y downwards; `key` names the
/// classes of marks.
pub fn plot(
    definition: &'static Definition,
    title: String,
    (x, y): (Axis, Axis),
    marks: impl IntoView + 'static,
    key: &'static [(&'static str, &'static str)],
    table: Table,
) -> impl IntoView {
    let tick = |text: String| view! { <span>{text}</span> };
    view! {
        <figure class="chart">
            <figcaption>{definition.name} " " <Ask about=definition /></figcaption>
            <div class="plot">
                <div class="ticks y" aria-hidden="true">
                    <span class="axis">{y.label}</span>
                    {y.ticks().map(tick)}
                </div>
                <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img">
                    <title>{title}</title>
                    <path class="grid" d="M0 0H100M0 50H100M0 100H100" />
                    {marks}
                </svg>
                <div class="ticks x" aria-hidden="true">{x.ticks().map(tick)} <span class="axis">{x.label}</span></div>
            </div>
            <ul class="parts key">
                {key.iter().map(|&(class, name)| view! { <li class=class>{name}</li> }).collect_view()}
            </ul>
            {twin(table)}
        </figure>
    }
}

/// A point with a text that shows on hover.
pub fn point((x, y): (f64, f64), class: &'static str, title: String) -> impl IntoView {
    view! {
        <path class=format!("point {class}") d=format!("M{x:.2} {y:.2}h0")>
            <title>{title}</title>
        </path>
    }
}
