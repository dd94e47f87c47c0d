//! From values to places, and the round numbers that an axis names.

/// Maps a range of values onto a range of places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    values: [f64; 2],
    places: [f64; 2],
    logarithmic: bool,
}

impl Scale {
    pub fn linear(values: [f64; 2], places: [f64; 2]) -> Self {
        Self { values, places, logarithmic: false }
    }

    /// `values` are above 0; so are those given to [`Scale::at`], or they are taken as the first of `values`.
    pub fn logarithmic(values: [f64; 2], places: [f64; 2]) -> Self {
        Self { values: values.map(f64::ln), places, logarithmic: true }
    }

    /// Where `value` lies. A range of values that is empty has one place, the first.
    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let value = match self.logarithmic {
            true if value > 0.0 => value.ln(),
            true => low,
            false => value,
        };
        let share = if high == low { 0.0 } else { (value - low) / (high - low) };
        self.places[0] + (self.places[1] - self.places[0]) * share
    }
}

/// The next of 1, 1.2, 1.6, 2, 2.4, ... times a power of ten, where a scale of values up to `most` ends. Each is short to
/// write, and so is a quarter of it.
pub fn round_up(most: f64) -> f64 {
    first_multiple(most, &[1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0])
}

/// 1, 2 or 5 times a power of ten, no less than `step`: the distance between ticks.
pub fn round_step(step: f64) -> f64 {
    first_multiple(step, &[1.0, 2.0, 5.0, 10.0])
}

/// The first of `steps` times the power of ten below `least` that is not below `least`; 1 without a positive number.
fn first_multiple(least: f64, steps: &[f64]) -> f64 {
    if !(least.is_finite() && least > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let found = steps.iter().find(|&&step| step * power >= least * (1.0 - 1e-9));
    found.unwrap_or(&10.0) * power
}

/// Ticks at the quarters of a scale from 0 to `end`.
pub fn quarters(end: f64) -> [f64; 5] {
    [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| share * end)
}

/// Round numbers between `low` and `high`, about `count` of them.
pub fn between([low, high]: [f64; 2], count: usize) -> Vec<f64> {
    let step = round_step((high - low) / count.max(1) as f64);
    let first = (low / step - 1e-9).ceil();
    (0..=2 * count).map(|nth| (first + nth as f64) * step).take_while(|&tick| tick <= high + 1e-9 * step).collect()
}

/// The powers of two from `low` to `high`.
pub fn powers_of_two([low, high]: [f64; 2]) -> Vec<f64> {
    (0..=52).map(|power| f64::from(power).exp2()).filter(|tick| (low..=high).contains(tick)).collect()
}

/// Every n-th of `ticks`, at most `most` of them.
pub fn thinned(ticks: &[f64], most: usize) -> Vec<f64> {
    ticks.iter().copied().step_by(ticks.len().div_ceil(most.max(1)).max(1)).collect()
}

/// A tick's value, without zeros at its end: three decimals, or three digits of what is smaller.
pub fn label(value: f64) -> String {
    let size = value.abs();
    let decimals = if size > 0.0 && size < 0.1 { 2 + (-size.log10().floor()) as usize } else { 3 };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers_that_hold_everything() {
        for (most, end) in [(1.0, 1.0), (1.01, 1.2), (7.93, 8.0), (93.0, 100.0), (0.021, 0.024), (0.0, 1.0)] {
            assert!((round_up(most) - end).abs() < 1e-9, "{most}: {}", round_up(most));
        }
        for (step, round) in [(0.03, 0.05), (1.0, 1.0), (1.2, 2.0), (340.0, 500.0), (7.0, 10.0)] {
            assert!((round_step(step) / round - 1.0).abs() < 1e-9, "{step}: {}", round_step(step));
        }
    }

    #[test]
    fn labels_are_short_and_small_values_keep_their_digits() {
        assert_eq!([0.25, 100.0, 0.0, 1.5, -2.0].map(label), ["0.25", "100", "0", "1.5", "-2"]);
        assert_eq!([0.0006, 0.012_34, 0.1].map(label), ["0.0006", "0.0123", "0.1"]);
    }

    /// Both ends of the values lie at the ends of the places; an exchanged scale puts one outside.
    #[test]
    fn values_lie_where_the_scale_says() {
        let even = Scale::linear([0.0, 100.0], [44.0, 344.0]);
        assert_eq!([0.0, 50.0, 100.0].map(|value| even.at(value)), [44.0, 194.0, 344.0]);
        let doubling = Scale::logarithmic([1.0, 256.0], [44.0, 344.0]);
        assert!([(1.0, 44.0), (16.0, 194.0), (256.0, 344.0), (0.0, 44.0)].iter().all(|&(value, place)| {
            let at: f64 = doubling.at(value);
            (at - place).abs() < 1e-9
        }));
        assert_eq!(Scale::linear([3.0, 3.0], [10.0, 20.0]).at(3.0), 10.0);
    }

    #[test]
    fn ticks_lie_between_the_ends() {
        assert_eq!(between([17.0, 540.0], 6), [100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(between([0.0, 1.0], 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(powers_of_two([2.0, 40.0]), [2.0, 4.0, 8.0, 16.0, 32.0]);
        assert_eq!(thinned(&[1.0, 2.0, 3.0, 4.0, 5.0], 3), [1.0, 3.0, 5.0]);
        assert_eq!(thinned(&[], 3), [0.0; 0]);
    }
}
