//! DeLong's variance of the AUROC and paired test of two score columns.
//!
//! DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
//! characteristic curves", Biometrics 1988; computed by midranks as in Sun and Xu, IEEE Signal Processing
//! Letters 2014, in `O(n log n)`.

use super::normal::{two_sided_p, z_for};
use super::ranking::check_finite;
use crate::Error;

/// The AUROC with its sampling error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeLong {
    /// AUROC in `[0, 1]`.
    pub auroc: f64,
    /// DeLong's estimate of its variance; `NaN` with fewer than two samples on a side, 0 (an underestimate) where
    /// the sides separate perfectly.
    pub variance: f64,
    /// Normal confidence interval, clipped to `[0, 1]`.
    pub interval: (f64, f64),
}

/// Two AUROCs on the same samples, compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeLongComparison {
    /// AUROC of the first column minus AUROC of the second.
    pub difference: f64,
    /// Variance of the difference, with the covariance of the two columns taken into account.
    pub variance: f64,
    /// Normal confidence interval of the difference.
    pub interval: (f64, f64),
    /// The test statistic `difference / sqrt(variance)`; 0 when the columns rank identically.
    pub z: f64,
    /// Two-sided p-value of "both AUROCs are equal"; 1 when the columns rank identically.
    pub p_value: f64,
}

/// AUROC, variance and interval of one column (`confidence` e.g. 0.95).
///
/// # Errors
/// As [`super::Ranking::new`]; [`Error::OutOfRange`] unless `confidence` is in `(0, 1)`.
pub fn delong(name: &str, id: &[f64], ood: &[f64], confidence: f64) -> Result<DeLong, Error> {
    let z = checked_z(confidence)?;
    let placements = Placements::new(name, id, ood)?;
    let variance = placements.covariance(&placements);
    let half = z * variance.sqrt();
    let auroc = placements.auroc;
    Ok(DeLong {
        auroc,
        variance,
        interval: ((auroc - half).max(0.0), (auroc + half).min(1.0)),
    })
}

/// The paired test of two columns; each is `(name, id, ood)`, sample for sample in the same order.
///
/// # Errors
/// As [`delong`]; [`Error::LengthMismatch`] when the columns differ in length.
pub fn delong_paired(
    first: (&str, &[f64], &[f64]),
    second: (&str, &[f64], &[f64]),
    confidence: f64,
) -> Result<DeLongComparison, Error> {
    let z_level = checked_z(confidence)?;
    for (left, right) in [(first.1, second.1), (first.2, second.2)] {
        if left.len() != right.len() {
            let what = format!("scores `{}` and `{}`", first.0, second.0);
            return Err(Error::LengthMismatch {
                what,
                left: left.len(),
                right: right.len(),
            });
        }
    }
    let a = Placements::new(first.0, first.1, first.2)?;
    let b = Placements::new(second.0, second.1, second.2)?;
    let difference = a.auroc - b.auroc;
    let contrast = a.minus(&b);
    let variance = contrast.covariance(&contrast);
    let half = z_level * variance.sqrt();
    let z = if variance == 0.0 && difference == 0.0 {
        0.0
    } else {
        difference / variance.sqrt()
    };
    Ok(DeLongComparison {
        difference,
        variance,
        interval: (difference - half, difference + half),
        z,
        p_value: if z == 0.0 { 1.0 } else { two_sided_p(z) },
    })
}

fn checked_z(confidence: f64) -> Result<f64, Error> {
    match confidence > 0.0 && confidence < 1.0 {
        true => Ok(z_for(confidence)),
        false => Err(Error::OutOfRange {
            what: "the confidence",
            value: confidence,
            range: "it must lie in (0, 1)",
        }),
    }
}

/// For each sample, the share of the other side that it is ordered correctly against (ties one half).
struct Placements {
    auroc: f64,
    id: Vec<f64>,
    ood: Vec<f64>,
}

impl Placements {
    fn new(name: &str, id: &[f64], ood: &[f64]) -> Result<Self, Error> {
        check_finite(name, "in-distribution", id)?;
        check_finite(name, "out-of-distribution", ood)?;
        let sorted = |scores: &[f64]| {
            let mut sorted = scores.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            sorted
        };
        let (sorted_id, sorted_ood) = (sorted(id), sorted(ood));
        let below = |sorted: &[f64], score: f64| {
            let less = sorted.partition_point(|&other| other < score);
            let not_more = sorted.partition_point(|&other| other <= score);
            0.5 * (less + not_more) as f64 / sorted.len() as f64
        };
        let id: Vec<f64> = id.iter().map(|&score| below(&sorted_ood, score)).collect();
        let ood: Vec<f64> = ood
            .iter()
            .map(|&score| 1.0 - below(&sorted_id, score))
            .collect();
        Ok(Self {
            auroc: mean(&id),
            id,
            ood,
        })
    }

    fn minus(&self, other: &Self) -> Self {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self {
            auroc: self.auroc - other.auroc,
            id: minus(&self.id, &other.id),
            ood: minus(&self.ood, &other.ood),
        }
    }

    fn covariance(&self, other: &Self) -> f64 {
        let part = |a: &[f64], b: &[f64]| {
            let (mean_a, mean_b) = (mean(a), mean(b));
            let sum: f64 = a
                .iter()
                .zip(b)
                .map(|(x, y)| (x - mean_a) * (y - mean_b))
                .sum();
            sum / (a.len() as f64 - 1.0) / a.len() as f64
        };
        part(&self.id, &other.id) + part(&self.ood, &other.ood)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Ranking;

    #[test]
    fn variance_by_hand() {
        // ID {3, 1}, OOD {2, 0}: placements of ID 1, 1/2 and of OOD 1/2, 1; each variance 1/8, over 2.
        let result = delong("x", &[3.0, 1.0], &[2.0, 0.0], 0.95).unwrap();
        assert_eq!(result.auroc, 0.75);
        assert!((result.variance - 0.125).abs() < 1e-15);
    }

    #[test]
    fn a_column_equals_itself_and_order_matters_not() {
        let id: Vec<f64> = (0..50).map(|i| f64::from(i * 37 % 50)).collect();
        let ood: Vec<f64> = (0..40).map(|i| f64::from(i * 17 % 45) - 8.0).collect();
        let same = delong_paired(("a", &id, &ood), ("b", &id, &ood), 0.95).unwrap();
        assert_eq!((same.difference, same.z, same.p_value), (0.0, 0.0, 1.0));
        let other: Vec<f64> = id.iter().map(|x| (x - 25.0).abs()).collect();
        let there = delong_paired(("a", &id, &ood), ("b", &other, &ood), 0.95).unwrap();
        let back = delong_paired(("b", &other, &ood), ("a", &id, &ood), 0.95).unwrap();
        assert_eq!(
            (there.difference, there.p_value),
            (-back.difference, back.p_value)
        );
        assert!(
            (delong("a", &id, &ood, 0.95).unwrap().auroc
                - Ranking::new("a", &id, &ood).unwrap().auroc())
            .abs()
                < 1e-12
        );
        assert!(delong_paired(("a", &id, &ood), ("b", &id[1..], &ood), 0.95).is_err());
    }
}
