//! The `d` attribute of an SVG path, from places.

use std::fmt::Write as _;

/// Straight lines from place to place; nothing without places.
pub fn line(places: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in places {
        let command = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{x:.2} {y:.2}");
    }
    path
}

/// From `start` across to each place's x and then to its y: a count that rises at moments.
pub fn steps((x, y): (f64, f64), places: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = format!("M{x:.2} {y:.2}");
    for (x, y) in places {
        let _ = write!(path, "H{x:.2}V{y:.2}");
    }
    path
}

/// A bar upwards from `base` at each place: its x and its height.
pub fn bars(base: f64, places: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, height) in places {
        let _ = write!(path, "M{x:.1} {base:.1}v-{height:.1}");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_short_as_can_be() {
        assert_eq!(line([(1.0, 2.0), (3.5, 4.25)]), "M1.00 2.00L3.50 4.25");
        assert_eq!(line([]), "");
        assert_eq!(steps((0.0, 100.0), [(10.0, 90.0)]), "M0.00 100.00H10.00V90.00");
        assert_eq!(bars(30.0, [(1.0, 5.0), (2.0, 6.0)]), "M1.0 30.0v-5.0M2.0 30.0v-6.0");
    }
}
