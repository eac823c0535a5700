//! What the classifier sees in both images: direction of its penultimate features.

use super::{Similarity, logits_l1_normalised::unit, sum_each};

const NAME: &str = "features-cosine";

/// `cos - 1` of the angle between `features(x)` and `features(y)`, as minus half the squared distance of their unit
/// vectors: single precision would not tell cosines near 1 apart.
pub const FEATURES_COSINE: Similarity = Similarity {
    name: NAME,
    summary: "cosine of the classifier's penultimate features, less 1",
    range: "-2 to 0",
    needs_classifier: true,
    score: |x, y| Ok(sum_each((unit(x.features(NAME)?) - unit(y.features(NAME)?)).square()) * -0.5),
};
