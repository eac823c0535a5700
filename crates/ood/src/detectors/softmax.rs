//! Softmax, log-sum-exp and argmax of a row of logits, in double precision.

use ndarray::{ArrayView1, ArrayView2, Axis};

/// Index of the largest entry; the first of equals; 0 for an empty row.
pub fn argmax<T: PartialOrd + Copy>(row: ArrayView1<T>) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

/// The class with the largest logit, for each row of [n, class].
pub fn predictions<T: PartialOrd + Copy>(logits: ArrayView2<T>) -> Vec<usize> {
    logits.axis_iter(Axis(0)).map(argmax).collect()
}

/// The largest entry of a row.
pub fn max(row: ArrayView1<f64>) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// `log sum_c exp(z_c)`, shifted by the largest logit so that nothing overflows.
pub fn log_sum_exp(logits: ArrayView1<f64>) -> f64 {
    let largest = max(logits);
    largest + logits.iter().map(|z| (z - largest).exp()).sum::<f64>().ln()
}

/// `p_c = exp(z_c) / sum_k exp(z_k)`.
pub fn softmax(logits: ArrayView1<f64>) -> Vec<f64> {
    let largest = max(logits);
    let weights: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The largest softmax probability, `1 / sum_c exp(z_c - max z)`.
pub fn max_probability(logits: ArrayView1<f64>) -> f64 {
    let largest = max(logits);
    1.0 / logits.iter().map(|z| (z - largest).exp()).sum::<f64>()
}

/// Applies `score` to each row of single-precision logits, in parallel.
pub(super) fn score_rows(
    logits: ArrayView2<f32>,
    score: impl Fn(ArrayView1<f64>) -> f64 + Sync,
) -> Vec<f64> {
    crate::linalg::by_rows(logits.nrows(), |i| {
        score(logits.row(i).mapv(f64::from).view())
    })
}
