//! What the classifier says of both images: direction of its logits.

use super::{Similarity, vectors::cosine_less_1};

const NAME: &str = "logits-cosine";

/// `cos - 1` of the angle between `logits(x)` and `logits(y)`.
pub const LOGITS_COSINE: Similarity = Similarity {
    name: NAME,
    summary: "cosine of the classifier's logits, less 1",
    range: "-2 to 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(cosine_less_1(x.logits(NAME)?, y.logits(NAME)?)),
};
