//! Mean absolute difference of the pixels.

use super::{Similarity, mean_each};

/// `-mean |x - y|` on [0, 1].
pub const L1: Similarity = Similarity {
    name: "l1",
    summary: "mean absolute difference of the pixels",
    range: "-1 to 0",
    needs_classifier: false,
    needs_weights: &[],
    score: |x, y| Ok(-mean_each((x.unit_image() - y.unit_image()).abs())),
};
