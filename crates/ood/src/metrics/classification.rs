//! Metrics that look at the classifier's correctness on in-distribution samples.

use super::ranking::{check_finite, sort_key};
use crate::Error;

/// Share of in-distribution samples classified correctly, in `[0, 1]`; `NaN` without samples.
pub fn accuracy(correct: &[bool]) -> f64 {
    correct.iter().filter(|&&correct| correct).count() as f64 / correct.len() as f64
}

/// Correct classification rate at a false-positive rate (Dhamija et al., NeurIPS 2018), as OpenOOD
/// computes it: the threshold is the `k`-th largest OOD score with `k = ceil(fpr * n_ood)`, at least 1; ID
/// samples count when they score strictly above it and are classified correctly; the denominator is all of
/// them. On small sets the smallest levels coincide.
///
/// # Errors
/// [`Error::OutOfRange`] unless `fpr` is in `(0, 1]`; [`Error::LengthMismatch`] when `id_correct` is not one
/// for each ID score; as [`super::Ranking::new`] for scores.
pub fn ccr_at_fpr(
    name: &str,
    id: &[f64],
    id_correct: &[bool],
    ood: &[f64],
    fpr: f64,
) -> Result<f64, Error> {
    if !(fpr > 0.0 && fpr <= 1.0) {
        let range = "it must lie in (0, 1]";
        return Err(Error::OutOfRange {
            what: "the false-positive rate",
            value: fpr,
            range,
        });
    }
    if id.len() != id_correct.len() {
        let what = format!("score `{name}` and its correctness column");
        return Err(Error::LengthMismatch {
            what,
            left: id.len(),
            right: id_correct.len(),
        });
    }
    check_finite(name, "in-distribution", id)?;
    check_finite(name, "out-of-distribution", ood)?;
    let mut keys: Vec<u64> = ood.iter().map(|&score| sort_key(score)).collect();
    let k = (fpr * ood.len() as f64).ceil() as usize;
    let (_, &mut threshold, _) = keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
    let accepted = id
        .iter()
        .zip(id_correct)
        .filter(|(score, correct)| **correct && sort_key(**score) > threshold);
    Ok(accepted.count() as f64 / id.len() as f64)
}
