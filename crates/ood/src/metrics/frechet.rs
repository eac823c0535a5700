//! The distance of two sets of features as that of two normal distributions.

use ndarray::{Array2, ArrayView2, Axis};

use crate::Error;
use crate::linalg::{mean_row, second_moment, symmetric_eigen};

/// Fréchet distance of the normal distributions with the means and covariances of two sets of features `[sample,
/// feature]`: `|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`. With features of an Inception network this is the FID of Heusel
/// et al. (NeurIPS 2017); with those of another network it has another scale. Covariances divide by `n - 1`. Small sets
/// overestimate it: compare numbers of equal size alone.
///
/// # Errors
/// When a set has less than two samples, the sets differ in width, a value is not finite, or the eigenvalues do not
/// converge.
pub fn frechet_distance(a: ArrayView2<f32>, b: ArrayView2<f32>) -> Result<f64, Error> {
    let fault = |cause: String, mend| Err(Error::Features { cause, mend });
    if a.nrows() < 2 || b.nrows() < 2 {
        let cause = format!(
            "{} and {} samples have no covariances",
            a.nrows(),
            b.nrows()
        );
        return fault(cause, "pass at least two of each set");
    }
    if a.ncols() != b.ncols() {
        let cause = format!("{} features against {}", a.ncols(), b.ncols());
        return fault(cause, "take both from the same network");
    }
    if a.iter().chain(b.iter()).any(|value| !value.is_finite()) {
        return fault(
            "a feature is NaN or infinite".into(),
            "leave out that sample",
        );
    }
    let moments = |rows: ArrayView2<f32>| {
        let mean = mean_row(rows);
        let samples = rows.nrows() as f64;
        let covariance = second_moment(rows, |_| mean.view()) * (samples / (samples - 1.0));
        (mean, covariance)
    };
    let ((mean_a, covariance_a), (mean_b, covariance_b)) = (moments(a), moments(b));
    // tr (C C')^(1/2) is the sum of the roots of the eigenvalues of the symmetric C^(1/2) C' C^(1/2).
    let root = symmetric_eigen(&covariance_a).map(|(values, vectors)| -> Array2<f64> {
        let roots = values.mapv(|value| value.max(0.0).sqrt());
        (&vectors * &roots.insert_axis(Axis(0))).dot(&vectors.t())
    });
    let product = root.and_then(|root| symmetric_eigen(&root.dot(&covariance_b).dot(&root)));
    let Some((values, _)) = product else {
        return fault(
            "the eigenvalues of the covariances do not converge".into(),
            "look at the features: they may be constant or huge",
        );
    };
    let traces = covariance_a.diag().sum() + covariance_b.diag().sum();
    let between: f64 = values.iter().map(|value| value.max(0.0).sqrt()).sum();
    let means = (&mean_a - &mean_b).mapv(|d| d * d).sum();
    Ok(means + traces - 2.0 * between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::standard_normal;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn normal(rows: usize, scale: &[f64], shift: f64, seed: u64) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_fn((rows, scale.len()), |(_, j)| {
            (standard_normal(&mut rng) * scale[j] + shift) as f32
        })
    }

    #[test]
    fn it_is_that_of_normal_distributions() {
        // Independent features: sum of (s - s')^2 and of the squared shifts.
        let a = normal(40_000, &[1.0, 2.0, 0.5], 0.0, 1);
        let b = normal(40_000, &[2.0, 2.0, 1.0], 0.3, 2);
        let distance = frechet_distance(a.view(), b.view()).unwrap();
        let exact = 1.0 + 0.0 + 0.25 + 3.0 * 0.09;
        assert!((distance - exact).abs() < 0.05, "{distance} {exact}");
        let itself = frechet_distance(a.view(), a.view()).unwrap();
        assert!(itself.abs() < 1e-9, "{itself}");
    }

    #[test]
    fn it_turns_with_the_features() {
        // A rotation of both sets changes nothing; it makes every covariance full.
        let (a, b) = (
            normal(500, &[1.0, 3.0], 0.0, 3),
            normal(500, &[2.0, 1.0], 1.0, 4),
        );
        let (sin, cos) = 0.7f32.sin_cos();
        let turn = ndarray::arr2(&[[cos, -sin], [sin, cos]]);
        let plain = frechet_distance(a.view(), b.view()).unwrap();
        let turned = frechet_distance(a.dot(&turn).view(), b.dot(&turn).view()).unwrap();
        assert!((plain - turned).abs() < 1e-4 * plain, "{plain} {turned}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let a = normal(5, &[1.0, 1.0], 0.0, 5);
        let narrow = normal(5, &[1.0], 0.0, 6);
        let mut bad = a.clone();
        bad[(2, 1)] = f32::NAN;
        for (other, says) in [
            (narrow, "same network"),
            (bad, "NaN"),
            (normal(1, &[1.0, 1.0], 0.0, 7), "at least two"),
        ] {
            let error = frechet_distance(a.view(), other.view()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
