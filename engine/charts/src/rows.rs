//! Charts of rows: a name on the left, the value over a shared scale that begins at 0, its figure on the right. 360 units
//! wide, so that a phone shows them as they are.

use maud::{Markup, html};

use crate::path;
use crate::scale::{Scale, label, quarters, round_up};
use crate::svg::{COLOURS, Legend, grid_line, legend, picture, place, text};

const WIDTH: f64 = 360.0;
/// The plot between the names on the left and the figures on the right.
const LEFT: f64 = 112.0;
const RIGHT: f64 = 300.0;
const ROW: f64 = 18.0;
const STRIP: f64 = 34.0;
const STACK: f64 = 26.0;
/// Room for the scale at the bottom.
const SCALE: f64 = 22.0;
/// Characters that fit left of the plot.
const NAME: usize = 17;

/// A value with its interval.
pub struct Dot {
    pub name: String,
    pub colour: usize,
    pub value: f64,
    /// as the chart writes `value`
    pub figure: String,
    pub interval: Option<[f64; 2]>,
}

/// Dots under a heading.
pub struct Dots {
    pub heading: String,
    pub dots: Vec<Dot>,
}

/// Dots with intervals as whiskers; `reference` is a line across all.
pub fn dots(title: &str, groups: &[Dots], reference: Option<f64>) -> Markup {
    let all = || groups.iter().flat_map(|group| &group.dots);
    let ends = all().map(|dot| dot.interval.map_or(dot.value, |ends| ends[1]));
    let axis = Axis::to(ends.chain(reference).fold(0.0, f64::max), RIGHT);
    let rows: usize = groups.iter().map(|group| group.dots.len() + 1).sum();
    let bottom = rows as f64 * ROW;
    let mut lines = (0..rows).map(|nth| nth as f64 * ROW);
    let content = html! {
        (axis.ticks(bottom))
        @if let Some(value) = reference {
            path class="ref" d=(format!("M{:.1} 0V{bottom:.1}", axis.scale.at(value))) {}
        }
        @for group in groups {
            (text("h", "start", (0.0, lines.next().unwrap_or(0.0) + 13.0), &group.heading))
            @for dot in &group.dots {
                (row(dot, &axis.scale, lines.next().unwrap_or(0.0) + ROW / 2.0))
            }
        }
    };
    let description =
        format!("{} values in {} groups, on a scale from 0 to {}", all().count(), groups.len(), axis.end());
    picture(title, &description, [WIDTH, bottom + SCALE], &content)
}

fn row(dot: &Dot, scale: &Scale, middle: f64) -> Markup {
    html! {
        (name(&dot.name, middle))
        @if let Some([low, high]) = dot.interval {
            path class=(format!("bar c{}", dot.colour)) d=(format!("M{:.1} {middle:.1}H{:.1}", scale.at(low), scale.at(high))) {}
        }
        circle class=(format!("f{}", dot.colour)) cx=(place(scale.at(dot.value))) cy=(place(middle)) r="4" {}
        (figure(&dot.figure, middle))
    }
}

/// How often which value was seen.
pub struct Strip {
    pub name: String,
    pub colour: usize,
    pub values: Vec<f64>,
}

/// A row of bars each, as high as the root of the share of values there. What lies beyond `end` is left out.
pub fn strips(title: &str, strips: &[Strip], end: f64) -> Markup {
    const BINS: usize = 94;
    const EDGE: f64 = WIDTH - 8.0;
    let axis = Axis::to(end, EDGE);
    let bottom = strips.len() as f64 * STRIP;
    let step = (EDGE - LEFT) / BINS as f64;
    let bars = |strip: &Strip, base: f64| {
        let mut bins = [0_usize; BINS];
        for value in strip.values.iter().filter(|&&value| value >= 0.0 && value <= end) {
            bins[((value / end * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        let highest = bins.iter().copied().max().unwrap_or(0).max(1) as f64;
        let seen = bins.iter().enumerate().filter(|(_, count)| **count > 0);
        let height = |count: usize| (STRIP - 8.0) * (count as f64 / highest).sqrt();
        path::bars(base, seen.map(|(bin, &count)| (LEFT + (bin as f64 + 0.5) * step, height(count))))
    };
    let content = html! {
        (axis.ticks(bottom))
        @for (nth, strip) in strips.iter().enumerate() {
            @let base = (nth as f64 + 1.0) * STRIP - 3.0;
            (name(&strip.name, base - 10.0))
            path class=(format!("tick c{}", strip.colour)) d=(bars(strip, base)) {}
        }
    };
    let description = format!("{} distributions, on a scale from 0 to {}", strips.len(), axis.end());
    picture(title, &description, [WIDTH, bottom + SCALE], &content)
}

/// Parts that follow each other.
pub struct Stack {
    pub name: String,
    /// number of the part's colour, and how much
    pub parts: Vec<(usize, f64)>,
    /// as the chart writes the sum
    pub figure: String,
}

/// A bar each, of parts, with their legend; `parts` names the colours.
pub fn stacks(title: &str, stacks: &[Stack], parts: &[String]) -> Markup {
    let total = |stack: &Stack| stack.parts.iter().map(|part| part.1).sum::<f64>();
    let axis = Axis::to(stacks.iter().map(total).fold(0.0, f64::max), RIGHT);
    let bottom = stacks.len() as f64 * STACK;
    let content = html! {
        (axis.ticks(bottom))
        @for (nth, stack) in stacks.iter().enumerate() {
            (bar(stack, &axis.scale, nth as f64 * STACK + 4.0))
        }
    };
    let description = format!("{} bars of {} parts, on a scale from 0 to {}", stacks.len(), parts.len(), axis.end());
    html! {
        (picture(title, &description, [WIDTH, bottom + SCALE], &content))
        (legend(parts.iter().enumerate().map(|(colour, name)| Legend { colour, name })))
    }
}

fn bar(stack: &Stack, scale: &Scale, top: f64) -> Markup {
    let ends = stack.parts.iter().scan(0.0, |sum, &(colour, part)| {
        let from = *sum;
        *sum += part;
        Some((colour % COLOURS, scale.at(from), scale.at(*sum)))
    });
    html! {
        (name(&stack.name, top + 9.0))
        @for (colour, from, to) in ends {
            rect class=(format!("f{colour}")) x=(place(from)) y=(place(top)) width=(place((to - from).max(0.4))) height="18" {}
        }
        (figure(&stack.figure, top + 9.0))
    }
}

/// The scale below the rows, from 0 to a round number.
struct Axis {
    scale: Scale,
    end: f64,
}

impl Axis {
    fn to(most: f64, right: f64) -> Self {
        let end = round_up(most);
        Self { scale: Scale::linear([0.0, end], [LEFT, right]), end }
    }

    fn end(&self) -> String {
        label(self.end)
    }

    fn ticks(&self, bottom: f64) -> Markup {
        html! {
            @for value in quarters(self.end) {
                @let x = self.scale.at(value);
                (grid_line(&format!("M{x:.1} 0V{bottom:.1}")))
                @let (anchor, x) = if x > WIDTH - 16.0 { ("end", WIDTH) } else { ("middle", x) };
                (text("s", anchor, (x, bottom + 15.0), &label(value)))
            }
        }
    }
}

/// Left of the plot; what does not fit ends in an ellipsis, and is whole in the table.
fn name(words: &str, middle: f64) -> Markup {
    let mut shown: String = words.chars().take(NAME).collect();
    if words.chars().count() > NAME {
        shown.pop();
        shown.push('…');
    }
    text("", "end", (LEFT - 8.0, middle + 4.0), &shown)
}

/// Right of the plot.
fn figure(words: &str, middle: f64) -> Markup {
    text("v", "end", (WIDTH, middle + 4.0), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scale that begins at the least value, as plotting libraries do, fails this: it makes small differences large.
    #[test]
    fn scales_begin_at_zero() {
        let dot = |value| Dot { name: "a".into(), colour: 0, value, figure: String::new(), interval: None };
        let svg = dots("t", &[Dots { heading: "h".into(), dots: vec![dot(50.0), dot(100.0)] }], None).into_string();
        assert!(svg.contains(&format!("cx=\"{:.1}\"", (LEFT + RIGHT) / 2.0)), "{svg}");
        assert!(svg.contains(&format!("cx=\"{RIGHT:.1}\"")), "{svg}");
    }

    #[test]
    fn labels_are_no_markup() {
        let bad = "<b>&\"";
        let dots_of = Dots { heading: bad.into(), dots: Vec::new() };
        let stack = Stack { name: bad.into(), parts: vec![(0, 1.0)], figure: bad.into() };
        let all = html! { (dots(bad, &[dots_of], None)) (stacks(bad, &[stack], &[bad.into()])) }.into_string();
        assert!(!all.contains("<b>") && all.contains("&lt;b&gt;&amp;&quot;"), "{all}");
    }
}
