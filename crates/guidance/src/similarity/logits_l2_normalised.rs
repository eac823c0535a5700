//! The direction of the classifier's logits.

use super::{
    Similarity,
    vectors::{l2, unit},
};

const NAME: &str = "logits-l2-normalised";

/// `-||logits(x) / ||logits(x)||_2 - logits(y) / ||logits(y)||_2||_2`: it orders samples as `logits-cosine` does.
pub const LOGITS_L2_NORMALISED: Similarity = Similarity {
    name: NAME,
    summary: "Euclidean distance of the classifier's logits, each scaled to unit length",
    range: "-2 to 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l2(unit(x.logits(NAME)?), unit(y.logits(NAME)?))),
};
