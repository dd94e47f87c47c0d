//! Small charts as inline SVG: 360 units wide, so that a phone shows them as they are. Colours and type are the page's.

use std::fmt::Write as _;

use understory_protocol::figures::rounded;

use super::escape;

pub(super) const WIDTH: f64 = 360.0;
/// The plot between the names on the left and the figures on the right.
const LEFT: f64 = 112.0;
const RIGHT: f64 = 300.0;
const ROW: f64 = 18.0;
/// Room for the scale at the bottom.
pub(super) const SCALE: f64 = 22.0;
/// Characters that fit left of the plot.
const NAME: usize = 17;

/// Colours of the page's style.
pub const COLOURS: usize = 12;

/// A value with its interval.
pub struct Dot {
    pub name: String,
    pub colour: usize,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
}

/// Dots under a heading.
pub struct Dots {
    pub heading: String,
    pub dots: Vec<Dot>,
}

/// Dots with intervals on one scale that begins at 0; `reference` is a line across all.
pub fn dots(title: &str, groups: &[Dots], reference: Option<f64>) -> String {
    let ends = groups.iter().flat_map(|group| &group.dots).map(|dot| dot.interval.map_or(dot.value, |ends| ends[1]));
    let most = ends.chain(reference).fold(0.0, f64::max);
    let x = scale(most, LEFT, RIGHT);
    let rows: usize = groups.iter().map(|group| group.dots.len() + 1).sum();
    let bottom = rows as f64 * ROW;
    let mut svg = open(title, bottom + SCALE);
    ticks(&mut svg, most, &x, bottom);
    if let Some(value) = reference {
        let _ = write!(svg, "<path class=\"ref\" d=\"M{:.1} 0V{bottom:.1}\"/>", x(value));
    }
    let mut y = 0.0;
    for group in groups {
        let _ = write!(svg, "<text class=\"h\" x=\"0\" y=\"{:.1}\">{}</text>", y + 13.0, escape(&group.heading));
        y += ROW;
        for dot in &group.dots {
            let middle = y + ROW / 2.0;
            name(&mut svg, &dot.name, middle);
            if let Some([low, high]) = dot.interval {
                let _ = write!(
                    svg,
                    "<path class=\"bar c{}\" d=\"M{:.1} {middle:.1}H{:.1}\"/>",
                    dot.colour,
                    x(low),
                    x(high)
                );
            }
            let _ = write!(
                svg,
                "<circle class=\"f{}\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"4\"/>",
                dot.colour,
                x(dot.value)
            );
            figure(&mut svg, &rounded(dot.value), middle);
            y += ROW;
        }
    }
    svg + "</svg>"
}

/// How often which gap was seen.
pub struct Strip {
    pub name: String,
    pub colour: usize,
    pub gaps: Vec<f64>,
}

/// A row of bars each, as high as the root of the share of gaps there. What lies beyond `most` is left out.
pub fn strips(title: &str, strips: &[Strip], most: f64) -> String {
    const HEIGHT: f64 = 34.0;
    const BINS: usize = 94;
    let x = scale(most, LEFT, WIDTH - 8.0);
    let bottom = strips.len() as f64 * HEIGHT;
    let mut svg = open(title, bottom + SCALE);
    ticks(&mut svg, most, &x, bottom);
    let step = (WIDTH - 8.0 - LEFT) / BINS as f64;
    for (nth, strip) in strips.iter().enumerate() {
        let base = (nth as f64 + 1.0) * HEIGHT - 3.0;
        let mut bins = [0_usize; BINS];
        for gap in strip.gaps.iter().filter(|&&gap| gap >= 0.0 && gap <= most) {
            let bin = (gap / most * BINS as f64) as usize;
            bins[bin.min(BINS - 1)] += 1;
        }
        let highest = bins.iter().copied().max().unwrap_or(0).max(1) as f64;
        name(&mut svg, &strip.name, base - 10.0);
        let mut path = String::new();
        for (bin, &count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let height = (HEIGHT - 8.0) * (count as f64 / highest).sqrt();
            let _ = write!(path, "M{:.1} {base:.1}v-{height:.1}", LEFT + (bin as f64 + 0.5) * step);
        }
        let _ = write!(svg, "<path class=\"tick c{}\" d=\"{path}\"/>", strip.colour);
    }
    svg + "</svg>"
}

/// Parts that follow each other.
pub struct Stack {
    pub name: String,
    /// number of the part's colour, and how much
    pub parts: Vec<(usize, f64)>,
}

/// A bar each, of parts; `parts` names the colours.
pub fn stacks(title: &str, stacks: &[Stack], parts: &[String]) -> String {
    let total = |stack: &Stack| stack.parts.iter().map(|part| part.1).sum::<f64>();
    let most = stacks.iter().map(total).fold(0.0, f64::max);
    let x = scale(most, LEFT, RIGHT);
    let bottom = stacks.len() as f64 * 26.0;
    let mut svg = open(title, bottom + SCALE);
    ticks(&mut svg, most, &x, bottom);
    for (nth, stack) in stacks.iter().enumerate() {
        let top = nth as f64 * 26.0 + 4.0;
        name(&mut svg, &stack.name, top + 9.0);
        let mut at = 0.0;
        for &(colour, ms) in &stack.parts {
            let (from, to) = (x(at), x(at + ms));
            let (colour, width) = (colour % COLOURS, (to - from).max(0.4));
            let _ = write!(
                svg,
                "<rect class=\"f{colour}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"18\"/>"
            );
            at += ms;
        }
        figure(&mut svg, &rounded(total(stack)), top + 9.0);
    }
    svg + "</svg>" + &legend(parts.iter().enumerate().map(|(nth, name)| (nth % COLOURS, name.as_str())))
}

/// Points joined by a line.
pub struct Line {
    pub name: String,
    pub colour: usize,
    /// x and y
    pub points: Vec<(f64, f64)>,
}

/// Lines over a scale of whole numbers; `unit` is that of x. The scale of y begins at 0.
pub fn lines(title: &str, lines: &[Line], unit: &str, reference: Option<f64>) -> String {
    const HEIGHT: f64 = 150.0;
    const EDGE: f64 = 40.0;
    let points = || lines.iter().flat_map(|line| &line.points);
    let most_x = points().map(|point| point.0).fold(1.0, f64::max);
    let least_x = points().map(|point| point.0).fold(most_x, f64::min);
    let most_y = points().map(|point| point.1).chain(reference).fold(0.0, f64::max);
    let span = if most_x > least_x { most_x - least_x } else { 1.0 };
    let x = |value: f64| EDGE + 10.0 + (WIDTH - EDGE - 26.0) * (value - least_x) / span;
    let y = |value: f64| HEIGHT - (HEIGHT - 8.0) * value / nice(most_y);
    let mut svg = open(title, HEIGHT + SCALE + 4.0);
    for nth in 0..=4 {
        let value = nice(most_y) * f64::from(nth) / 4.0;
        let at = y(value);
        let _ = write!(svg, "<path class=\"grid\" d=\"M{EDGE} {at:.1}H{WIDTH}\"/>");
        let _ = write!(
            svg,
            "<text class=\"s\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            EDGE - 4.0,
            at + 4.0,
            short(value)
        );
    }
    let mut marks: Vec<f64> = points().map(|point| point.0).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    let skip = marks.len().div_ceil(9);
    for (nth, mark) in marks.iter().enumerate().step_by(skip.max(1)) {
        let unit = if nth == 0 { unit } else { "" };
        let anchor = if nth == 0 { "start" } else { "middle" };
        let _ = write!(
            svg,
            "<text class=\"s\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{}{unit}</text>",
            x(*mark),
            HEIGHT + 16.0,
            short(*mark)
        );
    }
    if let Some(value) = reference {
        let _ = write!(svg, "<path class=\"ref\" d=\"M{EDGE} {:.1}H{WIDTH}\"/>", y(value));
    }
    for line in lines {
        let path: Vec<String> = line.points.iter().map(|&(a, b)| format!("{:.1} {:.1}", x(a), y(b))).collect();
        let _ = write!(svg, "<path class=\"line c{}\" d=\"M{}\"/>", line.colour, path.join("L"));
        for &(a, b) in &line.points {
            let _ = write!(svg, "<circle class=\"f{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", line.colour, x(a), y(b));
        }
    }
    svg + "</svg>" + &legend(lines.iter().map(|line| (line.colour, line.name.as_str())))
}

pub(super) fn legend<'a>(entries: impl Iterator<Item = (usize, &'a str)>) -> String {
    let mut out = String::from("<ul class=\"legend\">");
    for (colour, name) in entries {
        let _ = write!(out, "<li><span class=\"b{colour}\"></span>{}</li>", escape(name));
    }
    out + "</ul>"
}

pub(super) fn open(title: &str, height: f64) -> String {
    let title = escape(title);
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>")
}

/// From 0 to a round number above `most`.
fn scale(most: f64, left: f64, right: f64) -> impl Fn(f64) -> f64 {
    let end = nice(most);
    move |value| left + (right - left) * value / end
}

/// Where the scale of values up to `most` ends.
pub fn end_of_scale(most: f64) -> f64 {
    nice(most)
}

/// The next of 1, 1.2, 1.6, 2, 2.4, ... times a power of ten: a quarter of it is short to write.
pub(super) fn nice(most: f64) -> f64 {
    if !(most.is_finite() && most > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0];
    let found = steps.into_iter().find(|step| step * power >= most * (1.0 - 1e-9)).unwrap_or(10.0);
    found * power
}

/// A figure of a scale, without zeros at its end.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn ticks(svg: &mut String, most: f64, x: &impl Fn(f64) -> f64, bottom: f64) {
    for nth in 0..=4 {
        let value = nice(most) * f64::from(nth) / 4.0;
        let (at, y) = (x(value), bottom + 15.0);
        let anchor = if at > WIDTH - 16.0 { "end" } else { "middle" };
        let text_at = if anchor == "end" { WIDTH } else { at };
        let _ = write!(svg, "<path class=\"grid\" d=\"M{at:.1} 0V{bottom:.1}\"/>");
        let _ = write!(
            svg,
            "<text class=\"s\" text-anchor=\"{anchor}\" x=\"{text_at:.1}\" y=\"{y:.1}\">{}</text>",
            short(value)
        );
    }
}

/// Left of the plot; what does not fit ends in an ellipsis, and is whole in the table.
fn name(svg: &mut String, text: &str, middle: f64) {
    let mut shown: String = text.chars().take(NAME).collect();
    if text.chars().count() > NAME {
        shown.pop();
        shown.push('…');
    }
    let _ = write!(
        svg,
        "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        LEFT - 8.0,
        middle + 4.0,
        escape(&shown)
    );
}

/// Right of the plot.
fn figure(svg: &mut String, text: &str, middle: f64) {
    let _ = write!(
        svg,
        "<text class=\"v\" text-anchor=\"end\" x=\"{WIDTH}\" y=\"{:.1}\">{}</text>",
        middle + 4.0,
        escape(text)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers_that_hold_everything() {
        for (most, end) in [(1.0, 1.0), (1.01, 1.2), (7.93, 8.0), (93.0, 100.0), (0.021, 0.024), (0.0, 1.0)] {
            assert!((nice(most) - end).abs() < 1e-9, "{most}: {}", nice(most));
        }
        assert_eq!([short(0.25), short(100.0), short(0.0)], ["0.25", "100", "0"]);
    }

    /// A scale that begins at the least value, as plotting libraries do, fails this: it makes small differences large.
    #[test]
    fn scales_begin_at_zero() {
        let dot = |value| Dot { name: "a".into(), colour: 0, value, interval: None };
        let svg = dots("t", &[Dots { heading: "h".into(), dots: vec![dot(50.0), dot(100.0)] }], None);
        let at: Vec<f64> =
            svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
        assert!((at[0] - (LEFT + RIGHT) / 2.0).abs() < 0.1 && (at[1] - RIGHT).abs() < 0.1, "{at:?}");
    }
}
