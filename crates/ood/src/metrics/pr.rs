//! Area under the precision-recall curve.

use super::Ranking;
use crate::Error;

/// The trapezoid under (recall, precision), beginning at recall 0 with precision 1; groups are
/// (positives, negatives) from the strictest threshold to the laxest.
pub(super) fn area(groups: impl Iterator<Item = (u32, u32)> + Clone) -> f64 {
    let positives: u64 = groups
        .clone()
        .map(|(positive, _)| u64::from(positive))
        .sum();
    let (mut tp, mut all, mut precision_before, mut twice_area) = (0u64, 0u64, 1.0, 0.0);
    for (positive, negative) in groups {
        tp += u64::from(positive);
        all += u64::from(positive) + u64::from(negative);
        let precision = tp as f64 / all as f64;
        twice_area += f64::from(positive) * (precision + precision_before);
        precision_before = precision;
    }
    twice_area / (2.0 * positives as f64)
}

/// The floating-point width in which `1 - confidence` is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// `f32`, the width of the reference implementation's confidences.
    Single,
    /// `f64`.
    Double,
}

/// AUPR-out as DiffGuard's published code computes it: OOD is ranked by `1 - confidence`, rounded in
/// `precision`. Confidences much smaller than 1 (below about 6e-8 in `f32`) merge into ties there, so that
/// the number differs from [`Ranking::aupr_out`], which ranks by the negated score. For comparison only.
///
/// # Errors
/// As [`Ranking::new`].
pub fn aupr_out_of_one_minus(
    name: &str,
    id: &[f64],
    ood: &[f64],
    precision: Precision,
) -> Result<f64, Error> {
    let one_minus = |scores: &[f64]| -> Vec<f64> {
        let rounded = |&score: &f64| match precision {
            Precision::Single => f64::from(1.0 - score as f32),
            Precision::Double => 1.0 - score,
        };
        scores.iter().map(|score| -rounded(score)).collect()
    };
    Ok(Ranking::new(name, &one_minus(id), &one_minus(ood))?.aupr_out())
}
