//! Means of training rows by class.

use ndarray::{Array2, ArrayView2, Axis};

/// Mean of the rows of each class, [class, d], over rows for which `counts` holds; `Err` with the first class
/// that has none.
pub(super) fn class_means(
    rows: ArrayView2<f32>,
    labels: &[usize],
    classes: usize,
    counts: impl Fn(usize) -> bool,
) -> Result<Array2<f64>, usize> {
    let mut sums = Array2::<f64>::zeros((classes, rows.ncols()));
    let mut members = vec![0usize; classes];
    for (i, row) in rows
        .axis_iter(Axis(0))
        .enumerate()
        .filter(|(i, _)| counts(*i))
    {
        sums.row_mut(labels[i])
            .zip_mut_with(&row, |sum, &value| *sum += f64::from(value));
        members[labels[i]] += 1;
    }
    match members.iter().position(|&count| count == 0) {
        Some(empty) => Err(empty),
        None => {
            for (mut sum, count) in sums.axis_iter_mut(Axis(0)).zip(members) {
                sum /= count as f64;
            }
            Ok(sums)
        }
    }
}
