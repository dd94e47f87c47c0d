//! Points and the forms fitted to them.

use maud::{Markup, html};
use understory_charts::plot::{Axis, LARGE, Mark, Plot, Series};
use understory_lab::position::{Fit, Fits, Form, Point};

use super::tables::figure;

/// Places that a curve is drawn through.
const RESOLUTION: usize = 96;
/// Colours of points by prompt, from 1 on; later prompts share the last. Curves have colour 0.
const COLOURS: usize = 5;

/// What the abscissa is.
#[derive(Clone, Copy, PartialEq)]
pub enum Abscissa {
    /// tokens of context, on a line
    Context,
    /// tokens of output, on a logarithmic scale
    Output,
}

/// Points by prompt, curves by form, with a legend.
pub fn chart(fits: &Fits, abscissa: Abscissa, title: &str) -> Markup {
    let ends = ends(fits.points.iter().map(|point| point.x));
    let x = match abscissa {
        Abscissa::Context => Axis::between(ends, "tokens of context that the step attends to"),
        Abscissa::Output => Axis::doubling(ends, "output length N (logarithmic)"),
    };
    let y = Axis::up_to(fits.points.iter().map(|point| point.ms).fold(0.0, f64::max), "ms");
    let prompts = prompts(&fits.points);
    let mut series: Vec<Series> = prompts.iter().map(|prompt| points(fits, *prompt)).collect();
    series.extend(fits.fits.iter().flat_map(|fit| curves(fit, fits, abscissa, &x, &prompts)));
    let title = format!("{title}, with the fits; the same figures are in the table below");
    let plot = Plot { title: &title, frame: LARGE, x, y, reference: None, series: &series };
    html! { (plot.svg()) (legend(fits, &prompts)) }
}

fn legend(fits: &Fits, prompts: &[(usize, usize)]) -> Markup {
    html! {
        ul class="legend" {
            @for (prefill, colour) in prompts {
                li { span class=(format!("b{colour}")) {} "prompt of " (prefill) }
            }
            @for fit in &fits.fits {
                li {
                    svg viewBox="0 0 22 10" aria-hidden="true" {
                        path class=(format!("line c0 {}", class(fit, fits))) d="M0 5H22" {}
                    }
                    (fit.form.name())
                    @if fit.form == fits.chosen { " (fits)" }
                }
            }
        }
    }
}

/// The prompts' lengths in the order of their colours, with the colour of each.
fn prompts(points: &[Point]) -> Vec<(usize, usize)> {
    let mut prompts: Vec<usize> = points.iter().map(|point| point.prefill).collect();
    prompts.sort_unstable();
    prompts.dedup();
    prompts.into_iter().enumerate().map(|(nth, prefill)| (prefill, 1 + nth.min(COLOURS - 1))).collect()
}

fn points(fits: &Fits, (prefill, colour): (usize, usize)) -> Series {
    let all = || fits.points.iter().filter(|point| point.prefill == prefill);
    let title = |point: &Point| format!("prompt {prefill}, token {:.0}: {} ms", point.token, figure(point.ms));
    Series {
        name: format!("prompt of {prefill}"),
        colour,
        class: "",
        mark: Mark::SmallPoint,
        points: all().map(|point| (point.x, point.ms)).collect(),
        titles: all().map(title).collect(),
    }
}

/// One curve, but for (N-1)/N over the context: there it begins anew with each prompt.
fn curves(fit: &Fit, fits: &Fits, abscissa: Abscissa, x: &Axis, prompts: &[(usize, usize)]) -> Vec<Series> {
    let curve = |range: [f64; 2], before: f64| Series {
        name: fit.form.name().into(),
        colour: 0,
        class: class(fit, fits),
        mark: Mark::Line,
        points: x.along(range, RESOLUTION).into_iter().map(|x| (x, fit.at(x, x - before))).collect(),
        titles: Vec::new(),
    };
    if fit.form != Form::OverN || abscissa == Abscissa::Output {
        return vec![curve(x.ends(), 0.0)];
    }
    let of_prompt = |&(prefill, _): &(usize, usize)| {
        let of = fits.points.iter().filter(|point| point.prefill == prefill);
        curve(ends(of.map(|point| point.x)), prefill as f64 - 1.0)
    };
    prompts.iter().map(of_prompt).collect()
}

fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::MAX, f64::MIN], |[low, high], x| [low.min(x), high.max(x)])
}

/// Classes of a form's curve.
fn class(fit: &Fit, fits: &Fits) -> &'static str {
    match (fit.form, fit.form == fits.chosen) {
        (Form::Constant, false) => "constant",
        (Form::Constant, true) => "constant chosen",
        (Form::Linear, false) => "linear",
        (Form::Linear, true) => "linear chosen",
        (Form::Logarithmic, false) => "logarithmic",
        (Form::Logarithmic, true) => "logarithmic chosen",
        (Form::OverN, false) => "over-n",
        (Form::OverN, true) => "over-n chosen",
    }
}
