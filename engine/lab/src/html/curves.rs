//! Curves with points over them: what was predicted, and what was measured.

use std::fmt::Write as _;

use super::charts::{SCALE, WIDTH, legend, nice, open, short};
use super::escape;

const HEIGHT: f64 = 150.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = WIDTH - 16.0;

/// A line, or points alone.
pub struct Series {
    pub name: String,
    pub colour: usize,
    /// x and y, x ascending along a line
    pub points: Vec<(f64, f64)>,
    pub mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Line,
    Dashed,
    Point,
    /// around a point of the others
    Ring,
}

/// The scale of x; its ends are those of the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    /// from 0
    Even,
    /// from 1, each step the double of the one before
    Doubling,
}

/// `unit` is that of x; the scale of y begins at 0.
pub fn curves(title: &str, unit: &str, across: Across, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|one| &one.points);
    let most_x = points().map(|point| point.0).fold(1.0, f64::max);
    let most_y = nice(points().map(|point| point.1).fold(0.0, f64::max));
    let share = |value: f64| match across {
        Across::Even => value / most_x,
        Across::Doubling => value.max(1.0).log2() / most_x.log2().max(1.0),
    };
    let x = |value: f64| LEFT + (RIGHT - LEFT) * share(value);
    let y = |value: f64| HEIGHT - (HEIGHT - 8.0) * value / most_y;
    let mut svg = open(title, HEIGHT + SCALE + 14.0);
    for nth in 0..=4 {
        let value = most_y * f64::from(nth) / 4.0;
        let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {:.1}H{RIGHT}\"/>", y(value));
        text(&mut svg, "end", LEFT - 5.0, y(value) + 4.0, &short(value));
    }
    let marks: Vec<f64> = match across {
        Across::Even => (0..=4).map(|nth| (most_x * f64::from(nth) / 4.0).round()).collect(),
        Across::Doubling => {
            (0..=32).step_by(2).map(|power| f64::from(power).exp2()).take_while(|&mark| mark <= most_x).collect()
        }
    };
    for mark in marks {
        text(&mut svg, "middle", x(mark), HEIGHT + 16.0, &short(mark));
    }
    text(&mut svg, "end", RIGHT, HEIGHT + 31.0, unit);
    for Series { name, colour, points, mark } in series {
        if matches!(mark, Mark::Line | Mark::Dashed) {
            let path: Vec<String> = points.iter().map(|&(a, b)| format!("{:.1} {:.1}", x(a), y(b))).collect();
            let dashed = if *mark == Mark::Dashed { " dashed" } else { "" };
            let _ = write!(svg, "<path class=\"line{dashed} c{colour}\" d=\"M{}\"/>", path.join("L"));
            continue;
        }
        for &(a, b) in points {
            let (class, radius) = if *mark == Mark::Ring { ('r', 5.5) } else { ('f', 3.5) };
            let _ = write!(
                svg,
                "<circle class=\"{class}{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}: {} at \
                 {}</title></circle>",
                x(a),
                y(b),
                escape(name),
                short(b),
                short(a)
            );
        }
    }
    svg + "</svg>" + &legend(series.iter().map(|one| (one.colour, one.name.as_str())))
}

fn text(svg: &mut String, anchor: &str, x: f64, y: f64, words: &str) {
    let words = escape(words);
    let _ = write!(svg, "<text class=\"s\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centres(svg: &str) -> Vec<f64> {
        svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
    }

    /// A scale that begins at the first point would put 50 at the left edge.
    #[test]
    fn points_lie_where_the_scales_say() {
        let series = |mark| Series { name: "a".into(), colour: 1, points: vec![(50.0, 1.0), (100.0, 2.0)], mark };
        let even = centres(&curves("t", "keys", Across::Even, &[series(Mark::Line), series(Mark::Point)]));
        assert!((even[0] - (LEFT + RIGHT) / 2.0).abs() < 0.1 && (even[1] - RIGHT).abs() < 0.1, "{even:?}");
        let of = Series { points: vec![(1.0, 1.0), (16.0, 1.0), (256.0, 1.0)], ..series(Mark::Ring) };
        let doubling = centres(&curves("t", "batch", Across::Doubling, &[of]));
        let middle = (LEFT + RIGHT) / 2.0;
        assert!(doubling.iter().zip([LEFT, middle, RIGHT]).all(|(a, b)| (a - b).abs() < 0.1), "{doubling:?}");
    }
}
