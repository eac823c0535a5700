//! What the classifier sees in both images: l1 distance of its penultimate features.

use super::{Similarity, vectors::l1};

const NAME: &str = "features-l1";

/// `-||features(x) - features(y)||_1`.
pub const FEATURES_L1: Similarity = Similarity {
    name: NAME,
    summary: "l1 distance of the classifier's penultimate features",
    range: "not above 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l1(x.features(NAME)?, y.features(NAME)?)),
};
