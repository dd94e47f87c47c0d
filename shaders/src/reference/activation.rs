//! `lib/activation.wesl`. The kernel's `erf` is a polynomial good to 1.5e-7; this one is the convergent series.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Silu,
    /// exact, with erf
    Gelu,
    /// the tanh approximation
    GeluTanh,
    Relu,
}

/// erf(x) = 2 / sqrt(pi) exp(-x^2) sum_n 2^n x^(2n + 1) / (2n + 1)!!: all terms of one sign, nothing cancels.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    let mut n = 1.0;
    while term.abs() > 1e-17 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

pub fn activate(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        }
        Activation::Relu => x.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of erf from Abramowitz and Stegun, table 7.1, and of the activations at 1 as PyTorch prints them.
    #[test]
    fn agrees_with_published_values() {
        for (x, want) in
            [(0.0, 0.0), (0.1, 0.1124629160), (0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650)]
        {
            assert!((erf(x) - want).abs() < 1e-10, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        let at_one = [
            (Activation::Silu, 0.7310585786),
            (Activation::Gelu, 0.8413447461),
            (Activation::GeluTanh, 0.8411919906),
            (Activation::Relu, 1.0),
        ];
        for (kind, want) in at_one {
            assert!((activate(kind, 1.0) - want).abs() < 1e-9, "{kind:?}: {}", activate(kind, 1.0));
        }
        assert_eq!(activate(Activation::Relu, -1.0), 0.0);
    }
}
