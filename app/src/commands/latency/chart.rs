//! Points and the forms fitted to them, as SVG.

use std::fmt::Write as _;

use understory_lab::position::{Fit, Fits, Form, Point};

use super::tables::figure;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Places that a curve is drawn through.
const RESOLUTION: usize = 96;
/// Classes of points by prompt; later prompts share the last.
const COLORS: usize = 5;

/// What the abscissa is.
#[derive(Clone, Copy, PartialEq)]
pub enum Axis {
    /// tokens of context, on a line
    Context,
    /// tokens of output, on a logarithmic scale
    Output,
}

/// From data to the picture.
struct Frame {
    axis: Axis,
    x: [f64; 2],
    /// the ordinate begins at 0
    top: f64,
}

impl Frame {
    fn of(points: &[Point], axis: Axis) -> Self {
        let x = points.iter().fold([f64::MAX, f64::MIN], |[low, high], p| [low.min(p.x), high.max(p.x)]);
        let x = if x[0] < x[1] { x } else { [x[0] - 0.5, x[0] + 0.5] };
        let top = points.iter().map(|p| p.ms).fold(0.0, f64::max) * 1.08;
        Self { axis, x, top: if top > 0.0 { top } else { 1.0 } }
    }

    fn scaled(&self, x: f64) -> f64 {
        if self.axis == Axis::Output { x.ln() } else { x }
    }

    fn x(&self, x: f64) -> f64 {
        let [low, high] = self.x.map(|x| self.scaled(x));
        LEFT + (self.scaled(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, ms: f64) -> f64 {
        TOP + (1.0 - ms / self.top) * (HEIGHT - TOP - BOTTOM)
    }

    /// Abscissas of a curve from `low` to `high`.
    fn along(&self, [low, high]: [f64; 2]) -> impl Iterator<Item = f64> {
        let output = self.axis == Axis::Output;
        (0..=RESOLUTION).map(move |nth| {
            let share = nth as f64 / RESOLUTION as f64;
            if output { low * (high / low).powf(share) } else { low + (high - low) * share }
        })
    }
}

/// The prompts' lengths in the order of their colors, with the class of each.
pub fn prompts(points: &[Point]) -> Vec<(usize, usize)> {
    let mut prompts: Vec<usize> = points.iter().map(|p| p.prefill).collect();
    prompts.sort_unstable();
    prompts.dedup();
    prompts.into_iter().enumerate().map(|(nth, prefill)| (prefill, nth.min(COLORS - 1))).collect()
}

/// Class of a form's curve.
pub fn class(form: Form) -> &'static str {
    match form {
        Form::Constant => "constant",
        Form::Linear => "linear",
        Form::Logarithmic => "logarithmic",
        Form::OverN => "over-n",
    }
}

pub fn svg(fits: &Fits, axis: Axis, title: &str) -> String {
    let frame = Frame::of(&fits.points, axis);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}, with the fits; the same figures are \
         in the table below\">"
    );
    ticks(&mut out, &frame);
    let prompts = prompts(&fits.points);
    for point in &fits.points {
        let color = prompts.iter().find(|prompt| prompt.0 == point.prefill).map_or(0, |prompt| prompt.1);
        let _ = write!(
            out,
            "<circle class=\"f{color}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\"><title>prompt {}, token {:.0}: {} \
             ms</title></circle>",
            frame.x(point.x),
            frame.y(point.ms),
            point.prefill,
            point.token,
            figure(point.ms)
        );
    }
    for fit in &fits.fits {
        let chosen = if fit.form == fits.chosen { " chosen" } else { "" };
        for path in paths(fit, fits, &frame, &prompts) {
            let _ = write!(
                out,
                "<path class=\"fit {}{chosen}\" d=\"{path}\"><title>{}</title></path>",
                class(fit.form),
                fit.form.name()
            );
        }
    }
    out + "</svg>"
}

/// One curve, but for (N-1)/N over the context: there it begins anew with each prompt.
fn paths(fit: &Fit, fits: &Fits, frame: &Frame, prompts: &[(usize, usize)]) -> Vec<String> {
    let path = |range: [f64; 2], before: f64| {
        let mut path = String::new();
        for x in frame.along(range) {
            let (x, y) = (frame.x(x), frame.y(fit.at(x, x - before)).clamp(TOP, HEIGHT - BOTTOM));
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        }
        path
    };
    if fit.form != Form::OverN || frame.axis == Axis::Output {
        return vec![path(frame.x, 0.0)];
    }
    let of_prompt = |&(prefill, _): &(usize, usize)| {
        let xs = fits.points.iter().filter(|p| p.prefill == prefill).map(|p| p.x);
        let range = xs.fold([f64::MAX, f64::MIN], |[low, high], x| [low.min(x), high.max(x)]);
        path(range, prefill as f64 - 1.0)
    };
    prompts.iter().map(of_prompt).collect()
}

fn ticks(out: &mut String, frame: &Frame) {
    let step = pleasant(frame.top / 4.0);
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let mut ms = 0.0;
    while ms <= frame.top {
        let y = frame.y(ms);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            if ms == 0.0 { "0".into() } else { figure(ms) }
        );
        ms += step;
    }
    for x in abscissas(frame) {
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{x}</text>", frame.x(x), bottom + 16.0);
    }
    let label = match frame.axis {
        Axis::Context => "tokens of context that the step attends to",
        Axis::Output => "output length N (logarithmic)",
    };
    let _ = write!(
        out,
        "<text class=\"quiet\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}</text><text class=\"quiet\" \
         x=\"{LEFT}\" y=\"{TOP}\" dx=\"4\" dy=\"8\">ms</text>",
        (LEFT + right) / 2.0,
        bottom + 36.0
    );
}

fn abscissas(frame: &Frame) -> Vec<f64> {
    let [low, high] = frame.x;
    if frame.axis == Axis::Output {
        return (0..20).map(|n| f64::from(1 << n)).filter(|x| (low..=high).contains(x)).collect();
    }
    let step = pleasant((high - low) / 6.0).max(1.0);
    (0..20).map(|n| f64::from(n) * step).filter(|x| (low..=high).contains(x)).collect()
}

/// 1, 2 or 5 times a power of ten, no less than `step`.
fn pleasant(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| times * power >= step * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        for (step, round) in [(0.03, 0.05), (1.0, 1.0), (1.2, 2.0), (340.0, 500.0), (7.0, 10.0)] {
            assert!((pleasant(step) / round - 1.0).abs() < 1e-9, "{step}: {}", pleasant(step));
        }
    }

    /// Both ends of the data lie in the picture; an exchanged scale would put one outside.
    #[test]
    fn points_lie_inside_the_frame() {
        let point = |x: f64, ms: f64| Point { prefill: 16, token: 2.0, x, ms, n: 1 };
        let points = [point(2.0, 0.5), point(256.0, 9.0)];
        for axis in [Axis::Context, Axis::Output] {
            let frame = Frame::of(&points, axis);
            assert!((frame.x(2.0) - LEFT).abs() < 1e-9 && (frame.x(256.0) - (WIDTH - RIGHT)).abs() < 1e-9);
            assert!(frame.y(9.0) > TOP && frame.y(0.5) < HEIGHT - BOTTOM && frame.y(9.0) < frame.y(0.5));
            assert!(!abscissas(&frame).is_empty());
        }
    }
}
