//! The one door to the matrix product, with its bounds checked.

/// Row-major `dst[m, n] (+)= a[m, k] * b[k, n]` with the given row and column strides of a and b.
pub(crate) fn matmul(
    (m, n, k): (usize, usize, usize),
    dst: &mut [f32],
    accumulate: bool,
    a: &[f32],
    (a_row, a_column): (usize, usize),
    b: &[f32],
    (b_row, b_column): (usize, usize),
) {
    matmul_into(
        (m, n, k),
        dst,
        (n, 1),
        accumulate,
        a,
        (a_row, a_column),
        b,
        (b_row, b_column),
    );
}

/// [`matmul`] with the strides of `dst` as well.
#[allow(clippy::too_many_arguments)]
pub(crate) fn matmul_into(
    (m, n, k): (usize, usize, usize),
    dst: &mut [f32],
    (dst_row, dst_column): (usize, usize),
    accumulate: bool,
    a: &[f32],
    (a_row, a_column): (usize, usize),
    b: &[f32],
    (b_row, b_column): (usize, usize),
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(dst.len() > (m - 1) * dst_row + (n - 1) * dst_column);
    if k > 0 {
        assert!(a.len() > (m - 1) * a_row + (k - 1) * a_column);
        assert!(b.len() > (k - 1) * b_row + (n - 1) * b_column);
    }
    // SAFETY: the assertions above keep every element that these strides reach inside its slice.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            dst_column as isize,
            dst_row as isize,
            accumulate,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        )
    }
}
