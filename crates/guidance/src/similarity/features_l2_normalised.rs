//! The direction of the classifier's penultimate features.

use super::{
    Similarity,
    vectors::{l2, unit},
};

const NAME: &str = "features-l2-normalised";

/// `-||features(x) / ||features(x)||_2 - features(y) / ||features(y)||_2||_2`: it orders samples as `features-cosine` does.
pub const FEATURES_L2_NORMALISED: Similarity = Similarity {
    name: NAME,
    summary: "Euclidean distance of the classifier's penultimate features, each scaled to unit length",
    range: "-2 to 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l2(unit(x.features(NAME)?), unit(y.features(NAME)?))),
};
