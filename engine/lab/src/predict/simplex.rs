//! The least value of a function of a few numbers, without its derivatives: Nelder and Mead's simplex (The Computer
//! Journal 7, 1965), with their coefficients.

/// Where `f` is least near `start`, as far as `evaluations` of it tell; `step` is the first simplex's size.
pub fn least(start: &[f64], step: f64, evaluations: usize, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let n = start.len();
    let mut used = 0;
    let mut value = |x: Vec<f64>| {
        used += 1;
        let y = f(&x);
        // What is no number is no minimum.
        (if y.is_nan() { f64::INFINITY } else { y }, x)
    };
    let mut simplex = vec![value(start.to_vec())];
    for i in 0..n {
        let mut x = start.to_vec();
        x[i] += step;
        simplex.push(value(x));
    }
    for _ in 0..evaluations {
        simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
        if simplex[n].0 - simplex[0].0 <= 1e-12 * simplex[0].0.abs() {
            break;
        }
        let middle: Vec<f64> = (0..n).map(|i| simplex[..n].iter().map(|p| p.1[i]).sum::<f64>() / n as f64).collect();
        let worst = simplex[n].clone();
        let beyond = |by: f64| (0..n).map(|i| middle[i] + by * (middle[i] - worst.1[i])).collect::<Vec<_>>();
        let reflected = value(beyond(1.0));
        let next = if reflected.0 < simplex[0].0 {
            let expanded = value(beyond(2.0));
            if expanded.0 < reflected.0 { expanded } else { reflected }
        } else if reflected.0 < simplex[n - 1].0 {
            reflected
        } else {
            let inside = value(beyond(if reflected.0 < worst.0 { 0.5 } else { -0.5 }));
            if inside.0 < worst.0.min(reflected.0) {
                inside
            } else {
                let best = simplex[0].1.clone();
                for point in &mut simplex[1..] {
                    *point = value((0..n).map(|i| (best[i] + point.1[i]) / 2.0).collect());
                }
                continue;
            }
        };
        simplex[n] = next;
    }
    simplex.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|p| p.1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    /// Rosenbrock's valley, whose least value lies at (1, 1).
    #[test]
    fn it_finds_the_end_of_a_valley() {
        let f = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let found = super::least(&[-1.2, 1.0], 0.5, 500, f);
        assert!((found[0] - 1.0).abs() < 1e-4 && (found[1] - 1.0).abs() < 1e-4, "{found:?}");
    }
}
