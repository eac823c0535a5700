//! What the classifier says of both images: l1 distance of its logits (the paper's table 1).

use super::{Similarity, vectors::l1};

const NAME: &str = "logits-l1";

/// `-||logits(x) - logits(y)||_1`.
pub const LOGITS_L1: Similarity = Similarity {
    name: NAME,
    summary: "l1 distance of the classifier's logits",
    range: "not above 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l1(x.logits(NAME)?, y.logits(NAME)?)),
};
