//! What the classifier sees in both images: Euclidean distance of its penultimate features.

use super::{Similarity, vectors::l2};

const NAME: &str = "features-l2";

/// `-||features(x) - features(y)||_2`.
pub const FEATURES_L2: Similarity = Similarity {
    name: NAME,
    summary: "Euclidean distance of the classifier's penultimate features",
    range: "not above 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l2(x.features(NAME)?, y.features(NAME)?)),
};
