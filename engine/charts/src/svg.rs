//! What all charts share: the frame of the picture, its texts, its legend.

use maud::{Markup, html};

/// Colours that a style sheet is expected to have.
pub const COLOURS: usize = 12;

/// A picture with its title and what it shows in words.
pub fn picture(title: &str, description: &str, [width, height]: [f64; 2], content: &Markup) -> Markup {
    html! {
        svg viewBox=(format!("0 0 {width} {height:.0}")) role="img" aria-label=(title) {
            title { (title) }
            desc { (description) }
            (content)
        }
    }
}

/// A coordinate.
pub fn place(value: f64) -> String {
    format!("{value:.1}")
}

/// Where a text is held: at `x`, on the line `y`.
pub fn text(class: &str, anchor: &str, (x, y): (f64, f64), words: &str) -> Markup {
    let class = (!class.is_empty()).then_some(class);
    html! { text class=[class] text-anchor=(anchor) x=(place(x)) y=(place(y)) { (words) } }
}

pub fn grid_line(path: &str) -> Markup {
    html! { path class="grid" d=(path) {} }
}

/// A colour and what it stands for.
pub struct Legend<'a> {
    pub colour: usize,
    pub name: &'a str,
}

/// The colours below a chart.
pub fn legend<'a>(entries: impl IntoIterator<Item = Legend<'a>>) -> Markup {
    html! {
        ul class="legend" {
            @for Legend { colour, name } in entries {
                li { span class=(format!("b{}", colour % COLOURS)) {} (name) }
            }
        }
    }
}
