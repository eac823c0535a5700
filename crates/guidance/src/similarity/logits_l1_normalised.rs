//! The direction of the classifier's logits (DiffNB's distance).

use burn::tensor::Tensor;

use super::{Similarity, sum_each};

const NAME: &str = "logits-l1-normalised";
/// Keeps vanishing logits from dividing by zero.
const EPSILON: f64 = 1e-12;

/// `-||logits(x) / ||logits(x)||_2 - logits(y) / ||logits(y)||_2||_1`.
pub const LOGITS_L1_NORMALISED: Similarity = Similarity {
    name: NAME,
    summary: "l1 distance of the classifier's logits, each scaled to unit length",
    range: "not above 0",
    needs_classifier: true,
    score: |x, y| {
        Ok(-sum_each(
            (unit(x.logits(NAME)?) - unit(y.logits(NAME)?)).abs(),
        ))
    },
};

/// Rows of `[batch, value]` scaled to an L2 norm of 1.
pub(super) fn unit(values: Tensor<2>) -> Tensor<2> {
    let norm = values.clone().square().sum_dim(1).sqrt();
    values / norm.clamp_min(EPSILON)
}
