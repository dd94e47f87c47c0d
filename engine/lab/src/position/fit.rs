//! Forms of dependence on position, fitted by weighted least squares and chosen between.

use serde::Serialize;
use understory_shaders::reference::philox;

use super::table::{Point, Row};
use crate::report::Estimate;
use crate::statistics::LEAST_RUNS;

/// Bootstrap resamples: a fit is dearer than a median.
const RESAMPLES: usize = 499;
/// Values that all resamples draw together, at most: somebody else's report may have millions of steps.
const MOST_DRAWN: usize = 40_000_000;
/// With fewer resamples than this, nothing is said of intervals.
const LEAST_RESAMPLES: usize = 99;
/// Of all resamples, so that the same data give the same interval.
const SEED: [u32; 2] = [1, 0];
/// By how much AICc must fall for a further parameter. With less, noise alone wins in one experiment of six.
const MARGIN: f64 = 4.0;
/// How a form is chosen, for people.
pub const CRITERION: &str = "lowest AICc; a form with a slope only where its AICc is lower by more than 4 and the \
                             slope's interval, if there is one, leaves out 0";

/// How a time may depend on the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    Constant,
    /// T0 + alpha x
    Linear,
    /// T0 + beta ln x
    Logarithmic,
    /// T (N - 1) / N: what dividing N - 1 equal steps by N gives
    OverN,
}

impl Form {
    /// Those with fewer parameters first.
    pub const ALL: [Form; 4] = [Self::Constant, Self::OverN, Self::Linear, Self::Logarithmic];

    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Linear => "linear",
            Self::Logarithmic => "logarithmic",
            Self::OverN => "(N-1)/N",
        }
    }

    /// Names of the parameters.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Constant | Self::OverN => &["T"],
            Self::Linear => &["T0", "alpha"],
            Self::Logarithmic => &["T0", "beta"],
        }
    }

    /// The function behind the last parameter.
    fn regressor(self, x: f64, token: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Linear => x,
            Self::Logarithmic => x.ln(),
            Self::OverN => (token - 1.0) / token,
        }
    }

    /// The time in ms at abscissa `x` and token number `token`.
    pub fn at(self, values: &[f64], x: f64, token: f64) -> f64 {
        let f = self.regressor(x, token);
        match *values {
            [factor] => factor * f,
            [offset, slope] => offset + slope * f,
            _ => f64::NAN,
        }
    }

    /// Least squares, each point weighted with its measurements; `None` where the points do not determine it.
    fn solve(self, points: &[Point]) -> Option<Vec<f64>> {
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|p| p.n as f64 * of(self.regressor(p.x, p.token), p.ms)).sum()
        };
        let weight = sum(&|_, _| 1.0);
        if self.parameters().len() == 1 {
            let values = sum(&|f, y| f * y) / sum(&|f, _| f * f);
            return values.is_finite().then(|| vec![values]);
        }
        let (f_mean, y_mean) = (sum(&|f, _| f) / weight, sum(&|_, y| y) / weight);
        let spread = sum(&|f, _| (f - f_mean).powi(2));
        let slope = sum(&|f, y| (f - f_mean) * (y - y_mean)) / spread;
        let fine = spread > 1e-12 * weight * f_mean * f_mean && slope.is_finite();
        fine.then(|| vec![y_mean - slope * f_mean, slope])
    }

    /// Akaike's criterion with the correction for few points (Hurvich & Tsai 1989), and the weighted RMS error.
    fn score(self, points: &[Point], values: &[f64]) -> Option<(f64, f64)> {
        // The noise's deviation is a parameter too.
        let (n, k) = (points.len() as f64, values.len() as f64 + 1.0);
        if n < k + 2.0 {
            return None;
        }
        let weight: f64 = points.iter().map(|p| p.n as f64).sum();
        let mean_of = |of: &dyn Fn(&Point) -> f64| points.iter().map(|p| p.n as f64 * of(p)).sum::<f64>() / weight;
        let squares = mean_of(&|p| (p.ms - self.at(values, p.x, p.token)).powi(2));
        // Times are known to a millionth at best: an exact fit is no better than that.
        let floor = 1e-12 * mean_of(&|p| p.ms * p.ms);
        let aicc = n * squares.max(floor).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0);
        aicc.is_finite().then_some((aicc, squares.sqrt()))
    }
}

/// A parameter in ms, ms a token (`alpha`), or ms a factor of e (`beta`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    pub name: &'static str,
    pub estimate: Estimate,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    pub form: Form,
    pub parameters: Vec<Parameter>,
    pub aicc: f64,
    pub rmse_ms: f64,
    /// share of the resamples in which its AICc was taken; `None`: too few rounds
    pub chosen_share: Option<f64>,
}

impl Fit {
    /// As [`Form::at`], with what was fitted.
    pub fn at(&self, x: f64, token: f64) -> f64 {
        let values: Vec<f64> = self.parameters.iter().map(|parameter| parameter.estimate.value).collect();
        self.form.at(&values, x, token)
    }

    pub fn parameter(&self, name: &str) -> Option<&Estimate> {
        self.parameters.iter().find(|parameter| parameter.name == name).map(|parameter| &parameter.estimate)
    }
}

/// All forms over the same points, and the one that fits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fits {
    pub points: Vec<Point>,
    pub fits: Vec<Fit>,
    pub chosen: Form,
    pub criterion: &'static str,
}

impl Fits {
    pub fn of(&self, form: Form) -> Option<&Fit> {
        self.fits.iter().find(|fit| fit.form == form)
    }
}

struct Solved {
    form: Form,
    values: Vec<f64>,
    aicc: f64,
    rmse_ms: f64,
}

fn solve(points: &[Point]) -> Vec<Solved> {
    let of = |form: Form| {
        let values = form.solve(points)?;
        let (aicc, rmse_ms) = form.score(points, &values)?;
        Some(Solved { form, values, aicc, rmse_ms })
    };
    Form::ALL.into_iter().filter_map(of).collect()
}

fn choose(solved: &[Solved]) -> Option<Form> {
    let least = |parameters: usize| {
        let of = solved.iter().filter(move |solved| solved.values.len() == parameters);
        of.min_by(|a, b| a.aicc.total_cmp(&b.aicc))
    };
    match (least(1), least(2)) {
        (Some(one), Some(two)) if two.aicc < one.aicc - MARGIN => Some(two.form),
        (one, two) => one.or(two).map(|solved| solved.form),
    }
}

/// Fits every form to `rows`, which have values of `rounds` rounds; `None` with too few points for any.
pub fn fits(rows: &[Row], rounds: usize) -> Option<Fits> {
    let points_of = |times: &[usize]| rows.iter().filter_map(|row| row.point(times)).collect::<Vec<_>>();
    let points = points_of(&vec![1; rounds]);
    let solved = solve(&points);
    let chosen = choose(&solved)?;
    let mut resampled = Vec::new();
    let drawn_each = rounds + rows.iter().map(|row| 1 + row.rounds()).sum::<usize>();
    let resamples = RESAMPLES.min(MOST_DRAWN / drawn_each);
    if rounds >= LEAST_RUNS && resamples >= LEAST_RESAMPLES {
        for resample in 0..resamples {
            let solved = solve(&points_of(&drawn(rounds, resample as u32)));
            resampled.push((choose(&solved), solved));
        }
    }
    let fit = |of: &Solved| {
        let same = |solved: &Vec<Solved>| solved.iter().find(|other| other.form == of.form).map(|s| s.values.clone());
        let parameter = |(nth, name): (usize, &&'static str)| {
            let values = resampled.iter().filter_map(|(_, solved)| Some(same(solved)?[nth])).collect();
            let value = of.values[nth];
            Parameter { name, estimate: Estimate::new(value, interval(values, resampled.len()), rounds) }
        };
        let wins = resampled.iter().filter(|(chosen, _)| *chosen == Some(of.form)).count();
        Fit {
            form: of.form,
            parameters: of.form.parameters().iter().enumerate().map(parameter).collect(),
            aicc: of.aicc,
            rmse_ms: of.rmse_ms,
            chosen_share: (!resampled.is_empty()).then(|| wins as f64 / resampled.len() as f64),
        }
    };
    let fits: Vec<Fit> = solved.iter().map(fit).collect();
    // AICc takes points for independent; rounds know better where what disturbs one point disturbs its neighbours.
    let slope = |form: Form| fits.iter().find(|fit| fit.form == form)?.parameters.get(1)?.estimate.covers(0.0);
    let flat = || choose(&solved.into_iter().filter(|solved| solved.values.len() == 1).collect::<Vec<_>>());
    let chosen = if slope(chosen) == Some(true) { flat().unwrap_or(chosen) } else { chosen };
    Some(Fits { points, fits, chosen, criterion: CRITERION })
}

/// As many rounds as there are, drawn with replacement: how often each was.
fn drawn(rounds: usize, resample: u32) -> Vec<usize> {
    let mut times = vec![0; rounds];
    for k in 0..rounds {
        let [bits, ..] = philox([k as u32, resample, 0, 5], SEED);
        times[((u64::from(bits) * rounds as u64) >> 32) as usize] += 1;
    }
    times
}

/// The middle 95 % of `values`. Medians over few rounds vary a little more in resamples than in experiments, which makes
/// up for the narrowness of percentile intervals: with ten rounds it holds T0 in 96 % and alpha in 98 % of 400
/// simulations.
fn interval(mut values: Vec<f64>, resamples: usize) -> Option<[f64; 2]> {
    if resamples == 0 || values.len() * 2 < resamples {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let rank = |share: f64| ((share * (values.len() + 1) as f64).round() as usize).clamp(1, values.len()) - 1;
    Some([values[rank(0.025)], values[rank(0.975)]])
}
