//! The label condition: which class each synthesis is to follow.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, random};

/// Where the labels come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelSource {
    /// What the classifier under protection predicts for the input.
    #[default]
    Predicted,
    /// The true label in-distribution, a uniformly random one out of distribution (the paper's "Oracle" rows).
    Oracle,
    /// The true label in-distribution, the predicted one out of distribution.
    OracleId,
}

impl LabelSource {
    /// The label of each sample.
    ///
    /// - `predicted`: the classifier's prediction of each;
    /// - `truth`: the true class of each, `None` out of distribution;
    /// - `samples`: an identity of each that does not depend on its batch, from which random labels are drawn;
    /// - `classes`: number of classes.
    ///
    /// # Errors
    /// When the lists differ in length, or there are no classes to draw from.
    pub fn choose(
        self,
        predicted: &[usize],
        truth: &[Option<usize>],
        samples: &[u64],
        classes: usize,
        seed: u64,
    ) -> Result<Vec<i64>, Error> {
        if truth.len() != predicted.len() || samples.len() != predicted.len() || classes == 0 {
            return Err(Error::Shape {
                what: "choosing labels",
                expected: format!(
                    "{0} true labels and {0} identities, and at least one class",
                    predicted.len()
                ),
                got: format!(
                    "{} true labels, {} identities and {classes} classes",
                    truth.len(),
                    samples.len()
                ),
            });
        }
        let random = |sample: u64| {
            random::stream(seed, b"labels\0\0", sample, 0).random_range(0..classes as u64)
        };
        let labels =
            predicted
                .iter()
                .zip(truth)
                .zip(samples)
                .map(|((predicted, truth), sample)| match (self, truth) {
                    (Self::Predicted, _) | (Self::OracleId, None) => *predicted as i64,
                    (Self::Oracle | Self::OracleId, Some(class)) => *class as i64,
                    (Self::Oracle, None) => random(*sample) as i64,
                });
        Ok(labels.collect())
    }
}
