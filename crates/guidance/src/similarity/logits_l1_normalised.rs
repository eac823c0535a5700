//! The direction of the classifier's logits (DiffNB's distance).

use super::{
    Similarity,
    vectors::{l1, unit},
};

const NAME: &str = "logits-l1-normalised";

/// `-||logits(x) / ||logits(x)||_2 - logits(y) / ||logits(y)||_2||_1`.
pub const LOGITS_L1_NORMALISED: Similarity = Similarity {
    name: NAME,
    summary: "l1 distance of the classifier's logits, each scaled to unit length",
    range: "not above 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| Ok(-l1(unit(x.logits(NAME)?), unit(y.logits(NAME)?))),
};
