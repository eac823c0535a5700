//! The label condition: which class each synthesis is to follow.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, random};

/// Where the labels come from.
///
/// An experiment writes `"predicted"`, `"oracle"`, `"oracle_id"`, `{ random_of_top = 5 }` or `{ second_below = 0.6 }`. The
/// last two ask how much a wrong label costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelSource {
    /// What the classifier under protection predicts for the input.
    #[default]
    Predicted,
    /// The true label in-distribution, a uniformly random one out of distribution (the paper's "Oracle" rows).
    Oracle,
    /// The true label in-distribution, the predicted one out of distribution.
    OracleId,
    /// A uniformly random one of the so many most likely classes.
    RandomOfTop(usize),
    /// The second most likely class where the classifier's confidence (its largest softmax probability) lies below this,
    /// else the predicted one. 1 takes the second for nearly every sample.
    SecondBelow(f64),
}

/// What is known of a batch when its labels are chosen.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The classifier's logits, `[sample, class]`, row-major.
    pub logits: &'a [f32],
    /// Number of classes.
    pub classes: usize,
    /// True class of each sample, `None` out of distribution; an empty list where nothing is known.
    pub truth: &'a [Option<usize>],
    /// An identity of each sample that does not depend on its batch, from which random labels are drawn.
    pub samples: &'a [u64],
}

impl LabelSource {
    /// Whether the true labels are needed.
    pub fn needs_truth(self) -> bool {
        matches!(self, Self::Oracle | Self::OracleId)
    }

    /// The label of each sample.
    ///
    /// # Errors
    /// When the lists differ in length, there are no classes, or the source asks for classes or a confidence that
    /// cannot be.
    pub fn choose(self, known: &Known<'_>, seed: u64) -> Result<Vec<i64>, Error> {
        self.check(known)?;
        let label = |(sample, logits): (usize, &[f32])| {
            let truth = known.truth.get(sample).copied().flatten();
            let draw = |count: usize| {
                let sample = known.samples[sample];
                random::stream(seed, b"labels\0\0", sample, 0).random_range(0..count as u64)
                    as usize
            };
            match (self, truth) {
                (Self::Oracle | Self::OracleId, Some(class)) => class,
                (Self::Oracle, None) => draw(known.classes),
                (Self::Predicted | Self::OracleId, _) => ranked(logits)[0],
                (Self::RandomOfTop(count), _) => ranked(logits)[draw(count)],
                (Self::SecondBelow(confidence), _) => {
                    let rank = usize::from(largest_probability(logits) < confidence);
                    ranked(logits)[rank]
                }
            }
        };
        Ok(known
            .logits
            .chunks_exact(known.classes)
            .enumerate()
            .map(|sample| label(sample) as i64)
            .collect())
    }

    fn check(self, known: &Known<'_>) -> Result<(), Error> {
        let samples = known.samples.len();
        let truths = [0, samples].contains(&known.truth.len());
        if known.classes == 0 || known.logits.len() != samples * known.classes || !truths {
            return Err(Error::Shape {
                what: "choosing labels",
                expected: format!(
                    "{} logits for {samples} samples, a true label of each or none at all, and at least one class",
                    samples * known.classes
                ),
                got: format!(
                    "{} logits, {} true labels and {} classes",
                    known.logits.len(),
                    known.truth.len(),
                    known.classes
                ),
            });
        }
        let fault = |value: String, reason: String| {
            Err(Error::Setting {
                setting: "label",
                value,
                reason,
            })
        };
        match self {
            Self::RandomOfTop(count) if count == 0 || count > known.classes => fault(
                format!("{{ random_of_top = {count} }}"),
                format!("the classifier knows 1 to {} classes", known.classes),
            ),
            Self::SecondBelow(confidence) if !(confidence > 0.0 && confidence <= 1.0) => fault(
                format!("{{ second_below = {confidence} }}"),
                "a confidence lies above 0 and not above 1".into(),
            ),
            Self::SecondBelow(confidence) if known.classes < 2 => fault(
                format!("{{ second_below = {confidence} }}"),
                "of one class there is no second".into(),
            ),
            Self::Oracle | Self::OracleId if known.truth.len() != samples => {
                fault(format!("{self:?}"), "it needs the true labels".into())
            }
            _ => Ok(()),
        }
    }
}

/// The classes from the largest logit down; of equal ones the first.
fn ranked(logits: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    classes
}

/// The predicted class.
pub(crate) fn likeliest(logits: &[f32]) -> usize {
    ranked(logits)[0]
}

/// The largest softmax probability.
pub(crate) fn largest_probability(logits: &[f32]) -> f64 {
    let largest = logits
        .iter()
        .fold(f32::NEG_INFINITY, |most, z| most.max(*z));
    1.0 / logits
        .iter()
        .map(|z| f64::from(z - largest).exp())
        .sum::<f64>()
}
