//! What the classifier says of both images: Euclidean distance of its logits.

use super::{Similarity, vectors::l2};

const NAME: &str = "logits-l2";

/// `-||logits(x) - logits(y)||_2`.
pub const LOGITS_L2: Similarity = Similarity {
    name: NAME,
    summary: "Euclidean distance of the classifier's logits",
    range: "not above 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l2(x.logits(NAME)?, y.logits(NAME)?)),
};
