//! What the classifier says of both images: distance of its logits (the paper's table 1).

use super::{Similarity, sum_each};

/// `-||logits(x) - logits(y)||_1`.
pub const LOGITS_L1: Similarity = Similarity {
    name: "logits-l1",
    summary: "l1 distance of the classifier's logits",
    range: "not above 0",
    needs_classifier: true,
    score: |x, y| {
        Ok(-sum_each(
            (x.logits("logits-l1")? - y.logits("logits-l1")?).abs(),
        ))
    },
};
