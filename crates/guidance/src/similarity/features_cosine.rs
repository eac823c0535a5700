//! What the classifier sees in both images: direction of its penultimate features.

use super::{Similarity, vectors::cosine_less_1};

const NAME: &str = "features-cosine";

/// `cos - 1` of the angle between `features(x)` and `features(y)`.
pub const FEATURES_COSINE: Similarity = Similarity {
    name: NAME,
    summary: "cosine of the classifier's penultimate features, less 1",
    range: "-2 to 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(cosine_less_1(x.features(NAME)?, y.features(NAME)?)),
};
