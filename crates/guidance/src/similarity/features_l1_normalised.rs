//! The direction of the classifier's penultimate features.

use super::{
    Similarity,
    vectors::{l1, unit},
};

const NAME: &str = "features-l1-normalised";

/// `-||features(x) / ||features(x)||_2 - features(y) / ||features(y)||_2||_1`.
pub const FEATURES_L1_NORMALISED: Similarity = Similarity {
    name: NAME,
    summary: "l1 distance of the classifier's penultimate features, each scaled to unit length",
    range: "not above 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l1(unit(x.features(NAME)?), unit(y.features(NAME)?))),
};
