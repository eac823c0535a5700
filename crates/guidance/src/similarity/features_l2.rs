//! What the classifier sees in both images: distance of its penultimate features.

use super::{Similarity, sum_each};

const NAME: &str = "features-l2";

/// `-||features(x) - features(y)||_2`.
pub const FEATURES_L2: Similarity = Similarity {
    name: NAME,
    summary: "Euclidean distance of the classifier's penultimate features",
    range: "not above 0",
    needs_classifier: true,
    score: |x, y| Ok(-sum_each((x.features(NAME)? - y.features(NAME)?).square()).sqrt()),
};
