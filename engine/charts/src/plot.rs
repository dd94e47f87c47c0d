//! Lines and points over two axes.

use maud::{Markup, html};

use crate::path;
use crate::scale::{Scale, between, label, powers_of_two, quarters, round_up, thinned};
use crate::svg::{Legend, grid_line, legend, picture, place, text};

/// Labels that fit below a small picture.
const MOST_TICKS: usize = 9;

/// The picture, and where the plot lies in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    size: [f64; 2],
    /// left and right
    x: [f64; 2],
    /// top and bottom
    y: [f64; 2],
}

/// As wide as a phone shows it.
pub const SMALL: Frame = Frame { size: [360.0, 186.0], x: [44.0, 344.0], y: [8.0, 150.0] };
/// As wide as a page's text.
pub const LARGE: Frame = Frame { size: [720.0, 340.0], x: [56.0, 708.0], y: [12.0, 296.0] };

/// The values along one side, those of them that are named, and what they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub label: String,
    values: [f64; 2],
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// From 0 to a round number above `most`.
    pub fn up_to(most: f64, label: &str) -> Self {
        let end = round_up(most);
        Self { label: label.into(), values: [0.0, end], logarithmic: false, ticks: quarters(end).into() }
    }

    /// From 0 to the whole number `most` itself.
    pub fn counting(most: f64, label: &str) -> Self {
        let ticks = quarters(most).map(f64::round).into();
        Self { label: label.into(), values: [0.0, most], logarithmic: false, ticks }
    }

    /// From `low` to `high`, naming round numbers between them.
    pub fn between([low, high]: [f64; 2], label: &str) -> Self {
        let values = if low < high { [low, high] } else { [low - 0.5, low + 0.5] };
        let ticks = between(values, 6).into_iter().filter(|tick| tick.fract() == 0.0).collect();
        Self { label: label.into(), values, logarithmic: false, ticks }
    }

    /// From the least of `marks` to the greatest, naming them.
    pub fn of_marks(mut marks: Vec<f64>, label: &str) -> Self {
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let values = [marks.first().copied().unwrap_or(0.0), marks.last().copied().unwrap_or(1.0)];
        Self { label: label.into(), values, logarithmic: false, ticks: thinned(&marks, MOST_TICKS) }
    }

    /// From `low` to `high`, both above 0, each step the double of the one before.
    pub fn doubling([low, high]: [f64; 2], label: &str) -> Self {
        let values = if low < high { [low, high] } else { [low, 2.0 * low] };
        let ticks = thinned(&powers_of_two(values), MOST_TICKS);
        Self { label: label.into(), values, logarithmic: true, ticks }
    }

    /// So many values along the axis, even in the picture: where a curve is drawn through.
    pub fn along(&self, [low, high]: [f64; 2], count: usize) -> Vec<f64> {
        let shares = (0..=count).map(|nth| nth as f64 / count.max(1) as f64);
        let at =
            |share: f64| if self.logarithmic { low * (high / low).powf(share) } else { low + (high - low) * share };
        shares.map(at).collect()
    }

    /// The values at both ends.
    pub fn ends(&self) -> [f64; 2] {
        self.values
    }

    fn scale(&self, places: [f64; 2]) -> Scale {
        match self.logarithmic {
            true => Scale::logarithmic(self.values, places),
            false => Scale::linear(self.values, places),
        }
    }
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Line,
    /// a line with its points
    Joined,
    Point,
    /// of many
    SmallPoint,
    /// around a point of the others
    Ring,
}

/// Points of one kind.
pub struct Series {
    pub name: String,
    pub colour: usize,
    /// more classes of a line, such as `dashed`; may be empty
    pub class: &'static str,
    pub mark: Mark,
    /// x and y, x ascending along a line
    pub points: Vec<(f64, f64)>,
    /// what a pointer over each point says; empty: its series and values
    pub titles: Vec<String>,
}

/// Series over two axes.
pub struct Plot<'a> {
    pub title: &'a str,
    pub frame: Frame,
    pub x: Axis,
    pub y: Axis,
    /// a value of y with a line across
    pub reference: Option<f64>,
    pub series: &'a [Series],
}

impl Plot<'_> {
    pub fn svg(&self) -> Markup {
        let Frame { size, x: [left, right], y: [top, bottom] } = self.frame;
        let (x, y) = (self.x.scale([left, right]), self.y.scale([bottom, top]));
        let content = html! {
            @for &value in &self.y.ticks {
                (grid_line(&format!("M{left} {:.1}H{right}", y.at(value))))
                (text("s", "end", (left - 5.0, y.at(value) + 4.0), &label(value)))
            }
            @for &value in &self.x.ticks {
                (text("s", "middle", (x.at(value), bottom + 16.0), &label(value)))
            }
            (text("s", "end", (right, bottom + 31.0), &self.x.label))
            @if !self.y.label.is_empty() {
                (text("s", "start", (left + 4.0, top + 8.0), &self.y.label))
            }
            @if let Some(value) = self.reference {
                path class="ref" d=(format!("M{left} {:.1}H{right}", y.at(value))) {}
            }
            @for series in self.series {
                // What a curve says beyond the values of the axis stays at its edge.
                (series.svg(|at| (x.at(at.0), y.at(at.1).clamp(top, bottom))))
            }
        };
        picture(self.title, &self.description(), size, &content)
    }

    pub fn legend(&self) -> Markup {
        legend(self.series.iter().map(|series| Legend { colour: series.colour, name: &series.name }))
    }

    fn description(&self) -> String {
        let of = |series: &Series| {
            let values = || series.points.iter().map(|point| point.1);
            let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            match series.points.len() {
                0 => format!("{}: nothing", series.name),
                1 => format!("{}: {}", series.name, label(most)),
                _ => format!("{}: {} to {}", series.name, label(least), label(most)),
            }
        };
        self.series.iter().map(of).collect::<Vec<_>>().join("; ")
    }
}

impl Series {
    fn svg(&self, place_of: impl Fn((f64, f64)) -> (f64, f64)) -> Markup {
        let is_line = matches!(self.mark, Mark::Line | Mark::Joined);
        let space = if self.class.is_empty() { "" } else { " " };
        let (class, radius) = match self.mark {
            Mark::Line => return self.line(&format!("line c{}{space}{}", self.colour, self.class), place_of),
            Mark::Joined => ("f", "3"),
            Mark::Point => ("f", "3.5"),
            Mark::SmallPoint => ("f", "2.6"),
            Mark::Ring => ("r", "5.5"),
        };
        html! {
            @if is_line {
                (self.line(&format!("line c{}{space}{}", self.colour, self.class), &place_of))
            }
            @for (nth, &point) in self.points.iter().enumerate() {
                @let (x, y) = place_of(point);
                circle class=(format!("{class}{}", self.colour)) cx=(place(x)) cy=(place(y)) r=(radius) {
                    title {
                        @if let Some(title) = self.titles.get(nth) { (title) }
                        @else { (self.name) ": " (label(point.1)) " at " (label(point.0)) }
                    }
                }
            }
        }
    }

    fn line(&self, class: &str, place_of: impl Fn((f64, f64)) -> (f64, f64)) -> Markup {
        let path = path::line(self.points.iter().map(|&point| place_of(point)));
        html! { path class=(class) d=(path) { title { (self.name) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centres(svg: &str) -> Vec<f64> {
        svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
    }

    fn plot(x: Axis, mark: Mark, points: &[(f64, f64)]) -> String {
        let points = points.to_vec();
        let series = Series { name: "a".into(), colour: 1, class: "", mark, points, titles: Vec::new() };
        Plot { title: "t", frame: SMALL, x, y: Axis::up_to(2.0, ""), reference: None, series: &[series] }.svg().into()
    }

    /// A scale that begins at the first point would put 50 at the left edge.
    #[test]
    fn points_lie_where_the_scales_say() {
        let [left, right] = SMALL.x;
        let middle = (left + right) / 2.0;
        let even = centres(&plot(Axis::counting(100.0, "keys"), Mark::Point, &[(50.0, 1.0), (100.0, 2.0)]));
        assert!((even[0] - middle).abs() < 0.1 && (even[1] - right).abs() < 0.1, "{even:?}");
        let points = [(1.0, 1.0), (16.0, 1.0), (256.0, 1.0)];
        let doubling = centres(&plot(Axis::doubling([1.0, 256.0], "batch"), Mark::Ring, &points));
        assert!(doubling.iter().zip([left, middle, right]).all(|(a, b)| (a - b).abs() < 0.1), "{doubling:?}");
    }

    /// A curve that leaves the axis stays inside the plot.
    #[test]
    fn curves_end_at_the_edge() {
        let svg = plot(Axis::counting(10.0, ""), Mark::Line, &[(0.0, -5.0), (10.0, 500.0)]);
        assert!(svg.contains("d=\"M44.00 150.00L344.00 8.00\""), "{svg}");
    }

    #[test]
    fn one_point_is_an_axis_too() {
        for axis in [Axis::doubling([8.0, 8.0], ""), Axis::between([8.0, 8.0], ""), Axis::of_marks(vec![8.0], "")] {
            let at = centres(&plot(axis, Mark::Point, &[(8.0, 1.0)]));
            assert!(at[0].is_finite() && (SMALL.x[0]..=SMALL.x[1]).contains(&at[0]), "{at:?}");
        }
    }
}
