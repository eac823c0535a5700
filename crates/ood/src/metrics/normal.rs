//! The normal distribution's tails, to double precision.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// P(|Z| > |z|) for a standard normal Z: the two-sided p-value.
pub(super) fn two_sided_p(z: f64) -> f64 {
    erfc(z.abs() * FRAC_1_SQRT_2)
}

/// The z with P(|Z| <= z) = `confidence`, by bisection; `confidence` in (0, 1).
pub(super) fn z_for(confidence: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if 1.0 - two_sided_p(middle) < confidence {
            low = middle
        } else {
            high = middle
        }
    }
    0.5 * (low + high)
}

/// Complementary error function for x >= 0: Taylor series below 2, Lentz's continued fraction above
/// (Abramowitz and Stegun 7.1.5 and 7.1.14).
fn erfc(x: f64) -> f64 {
    if x < 2.0 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while f64::abs(term) > 1e-17 * f64::abs(sum) {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return 1.0 - 2.0 / PI.sqrt() * sum;
    }
    // erfc(x) sqrt(pi) exp(x^2) = 1 / (x + (1/2) / (x + 1 / (x + (3/2) / (x + ...)))), from the inside out.
    let fraction = (1..=200)
        .rev()
        .fold(x, |below, n| x + 0.5 * f64::from(n) / below);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_tables() {
        for (z, p) in [
            (0.0, 1.0),
            (1.0, 0.317310507862914),
            (1.959963984540054, 0.05),
            (5.0, 5.733031437583892e-7),
        ] {
            assert!(
                (two_sided_p(z) - p).abs() <= 1e-12 * p.max(1e-3),
                "{z}: {}",
                two_sided_p(z)
            );
        }
        assert!((two_sided_p(10.0) / 1.523970604832094e-23 - 1.0).abs() < 1e-9);
        assert!((z_for(0.95) - 1.959963984540054).abs() < 1e-12);
    }
}
