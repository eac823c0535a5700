//! The linear algebra that the detectors share: ndarray outside, faer's kernels inside.

use std::ops::Range;

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::traits::ComplexField;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Rows handled at a time. Fixed, so that results do not depend on the number of threads.
const BLOCK: usize = 256;

/// Runs `score` on fixed blocks of row indices in parallel and joins the parts in order.
pub(crate) fn by_blocks<T: Send>(
    rows: usize,
    score: impl Fn(Range<usize>) -> Vec<T> + Sync,
) -> Vec<T> {
    let blocks = rows.div_ceil(BLOCK);
    let parts: Vec<Vec<T>> = (0..blocks)
        .into_par_iter()
        .map(|b| score(b * BLOCK..((b + 1) * BLOCK).min(rows)))
        .collect();
    parts.into_iter().flatten().collect()
}

/// Runs `score` on each row in parallel.
pub(crate) fn by_rows<T: Send>(rows: usize, score: impl Fn(usize) -> T + Sync) -> Vec<T> {
    by_blocks(rows, |range| range.map(&score).collect())
}

/// The rows of `range`, in double precision.
pub(crate) fn block(rows: ArrayView2<f32>, range: Range<usize>) -> Array2<f64> {
    rows.slice(s![range, ..]).mapv(f64::from)
}

/// `a b^T`: the inner products of the rows of `a` [n, d] with those of `b` [m, d], as [n, m].
/// On one thread; callers run blocks in parallel.
pub(crate) fn inner_products<T: ComplexField + Copy>(
    a: ArrayView2<T>,
    b: ArrayView2<T>,
) -> Array2<T> {
    let mut product = Array2::from_elem((a.nrows(), b.nrows()), T::zero_impl());
    if product.is_empty() || a.ncols() == 0 {
        return product;
    }
    let (rows, columns) = product.dim();
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    if let (Some(into), Some(left), Some(right)) =
        (product.as_slice_mut(), a.as_slice(), b.as_slice())
    {
        let into = MatMut::from_row_major_slice_mut(into, rows, columns);
        let left = MatRef::from_row_major_slice(left, rows, a.ncols());
        let right = MatRef::from_row_major_slice(right, columns, b.ncols());
        matmul(
            into,
            Accum::Replace,
            left,
            right.transpose(),
            T::one_impl(),
            Par::Seq,
        );
    }
    product
}

/// Logits of features under a linear head: `features weight^T + bias`, as [n, class].
pub(crate) fn affine(
    features: ArrayView2<f64>,
    weight: ArrayView2<f64>,
    bias: ArrayView1<f64>,
) -> Array2<f64> {
    inner_products(features, weight) + bias
}

/// Mean of the rows, `[d]`, accumulated in double precision.
pub(crate) fn mean_row(rows: ArrayView2<f32>) -> Array1<f64> {
    let mut sum = Array1::zeros(rows.ncols());
    for row in rows.axis_iter(Axis(0)) {
        sum.zip_mut_with(&row, |sum: &mut f64, &value| *sum += f64::from(value));
    }
    sum / rows.nrows() as f64
}

/// Standard deviation of each column around `mean`, `[d]`.
pub(crate) fn deviation_row(rows: ArrayView2<f32>, mean: &Array1<f64>) -> Array1<f64> {
    let mut sum = Array1::<f64>::zeros(rows.ncols());
    for row in rows.axis_iter(Axis(0)) {
        for ((sum, &value), mean) in sum.iter_mut().zip(row).zip(mean) {
            *sum += (f64::from(value) - mean).powi(2);
        }
    }
    (sum / rows.nrows() as f64).mapv(f64::sqrt)
}

/// A draw from the standard normal distribution (Box and Muller 1958).
pub(crate) fn standard_normal(rng: &mut impl rand::Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// `1/N sum_i (x_i - c_i)(x_i - c_i)^T`, [d, d], with `centre(i)` the vector that row `i` is taken from.
pub(crate) fn second_moment<'c>(
    rows: ArrayView2<f32>,
    centre: impl Fn(usize) -> ArrayView1<'c, f64> + Sync,
) -> Array2<f64> {
    const CHUNK: usize = 2048;
    const COLUMNS: usize = 64;
    let (n, d) = rows.dim();
    // Threads own columns of the sum, and every sum over rows is taken in one order.
    let mut parts: Vec<Mat<f64>> = (0..d.div_ceil(COLUMNS))
        .map(|part| Mat::zeros(d, COLUMNS.min(d - part * COLUMNS)))
        .collect();
    for start in (0..n).step_by(CHUNK) {
        let mut chunk = block(rows, start..(start + CHUNK).min(n));
        for (i, mut row) in chunk.axis_iter_mut(Axis(0)).enumerate() {
            row -= &centre(start + i);
        }
        let height = chunk.nrows();
        let Some(chunk) = chunk.as_slice() else {
            continue;
        };
        let chunk = MatRef::from_row_major_slice(chunk, height, d);
        parts.par_iter_mut().enumerate().for_each(|(part, sum)| {
            let columns = chunk.subcols(part * COLUMNS, sum.ncols());
            matmul(
                sum.as_mut(),
                Accum::Add,
                chunk.transpose(),
                columns,
                1.0,
                Par::Seq,
            );
        });
    }
    Array2::from_shape_fn((d, d), |(i, j)| {
        parts[j / COLUMNS][(i, j % COLUMNS)] / n as f64
    })
}

/// Eigenvalues (descending) of a symmetric matrix and its eigenvectors as columns in the same order.
/// `None` when the solver does not converge. On one thread: faer's result depends on their number.
pub(crate) fn symmetric_eigen(matrix: &Array2<f64>) -> Option<(Array1<f64>, Array2<f64>)> {
    let d = matrix.nrows();
    let matrix = Mat::from_fn(d, d, |i, j| matrix[(i, j)]);
    let (mut values, mut vectors) = (Diag::zeros(d), Mat::zeros(d, d));
    let with = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<f64>(d, with, Par::Seq, Default::default());
    self_adjoint_evd(
        matrix.as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .ok()?;
    let values = values.column_vector();
    let descending = |column: usize| d - 1 - column;
    Some((
        Array1::from_shape_fn(d, |k| values[descending(k)]),
        Array2::from_shape_fn((d, d), |(i, k)| vectors[(i, descending(k))]),
    ))
}

/// A factor `L` [d, r] with `L L^T` the pseudo-inverse of a symmetric matrix: distances under the
/// pseudo-inverse are plain distances after multiplying by `L`. Eigenvalues up to `d eps max|eigenvalue|`
/// count as zero, as in SciPy's `pinvh`.
pub(crate) fn inverse_factor(matrix: &Array2<f64>) -> Option<Array2<f64>> {
    let (values, vectors) = symmetric_eigen(matrix)?;
    let largest = values
        .iter()
        .fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let cut = largest * f64::EPSILON * values.len() as f64;
    let rank = values.iter().filter(|&&value| value > cut).count();
    let mut factor = vectors.slice(s![.., ..rank]).to_owned();
    for (mut column, value) in factor.axis_iter_mut(Axis(1)).zip(&values) {
        column /= value.sqrt();
    }
    Some(factor)
}

/// `pinv(weight) bias`, `[d]`, for a head `weight` [c, d]; singular values up to 1e-15 of the largest count as
/// zero, as in NumPy's `pinv`. `None` when the solver does not converge.
pub(crate) fn least_norm_solution(
    weight: ArrayView2<f32>,
    bias: ArrayView1<f32>,
) -> Option<Array1<f64>> {
    let (c, d) = weight.dim();
    let rank = c.min(d);
    let matrix = Mat::from_fn(c, d, |i, j| f64::from(weight[(i, j)]));
    let (mut values, mut u, mut v) = (Diag::zeros(rank), Mat::zeros(c, rank), Mat::zeros(d, rank));
    let thin = ComputeSvdVectors::Thin;
    let scratch = svd_scratch::<f64>(c, d, thin, thin, Par::Seq, Default::default());
    svd(
        matrix.as_ref(),
        values.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .ok()?;
    let values = values.column_vector();
    let largest = values
        .iter()
        .fold(0.0, |largest: f64, value| largest.max(*value));
    let mut solution = Array1::zeros(d);
    for (k, &value) in values
        .iter()
        .enumerate()
        .filter(|(_, value)| **value > 1e-15 * largest)
    {
        let along: f64 = (0..c).map(|i| u[(i, k)] * f64::from(bias[i])).sum();
        solution += &Array1::from_shape_fn(d, |j| v[(j, k)] * along / value);
    }
    Some(solution)
}

/// Euclidean norm of a vector.
pub(crate) fn norm(vector: ArrayView1<f64>) -> f64 {
    vector.dot(&vector).sqrt()
}

/// Squared distances between the rows of `a` [n, r] and those of `b` [m, r], as [n, m].
pub(crate) fn squared_distances(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let squares = |rows: ArrayView2<f64>| rows.map_axis(Axis(1), |row| row.dot(&row));
    let (a2, b2) = (squares(a), squares(b));
    let mut distances = inner_products(a, b);
    for ((i, j), value) in distances.indexed_iter_mut() {
        *value = (a2[i] + b2[j] - 2.0 * *value).max(0.0);
    }
    distances
}

/// Divides every row by its Euclidean norm; a zero row stays zero.
pub(crate) fn normalised(rows: ArrayView2<f32>) -> Array2<f32> {
    let mut rows = rows.to_owned();
    for mut row in rows.axis_iter_mut(Axis(0)) {
        let norm = row
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt();
        if norm > 0.0 {
            row.mapv_inplace(|value| (f64::from(value) / norm) as f32);
        }
    }
    rows
}
