//! Euclidean distance of the pixels.

use super::{Similarity, sum_each};

/// `-||x - y||_2` on [0, 1].
pub const L2: Similarity = Similarity {
    name: "l2",
    summary: "Euclidean distance of the pixels",
    range: "not above 0",
    needs_classifier: false,
    needs_weights: &[],
    score: |x, y| Ok(-sum_each((x.unit_image() - y.unit_image()).square()).sqrt()),
};
