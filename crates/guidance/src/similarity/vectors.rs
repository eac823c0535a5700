//! Distances of the rows of `[batch, value]`.

use burn::tensor::Tensor;

use super::sum_each;

/// Keeps vanishing rows from dividing by zero.
const EPSILON: f64 = 1e-12;

/// `||x - y||_1` of each row, `[batch]`.
pub(super) fn l1(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    sum_each((x - y).abs())
}

/// `||x - y||_2` of each row, `[batch]`.
pub(super) fn l2(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    sum_each((x - y).square()).sqrt()
}

/// `cos - 1` of each row's angle, `[batch]`, as minus half the squared distance of the unit vectors: single precision
/// would not tell cosines near 1 apart.
pub(super) fn cosine_less_1(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    sum_each((unit(x) - unit(y)).square()) * -0.5
}

/// Rows scaled to an L2 norm of 1.
pub(super) fn unit(rows: Tensor<2>) -> Tensor<2> {
    let norm = rows.clone().square().sum_dim(1).sqrt();
    rows / norm.clamp_min(EPSILON)
}
