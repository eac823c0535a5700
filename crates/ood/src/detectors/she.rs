//! SHE, simplified Hopfield energy.
//!
//! Zhang et al., "Out-of-Distribution Detection based on In-Distribution Data Patterns Memorization with Modern
//! Hopfield Energy", ICLR 2023.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::class_means::class_means;
use super::softmax::{argmax, predictions};
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, fitted};
use crate::linalg::{by_rows, norm};
use crate::{Error, parameters};

const NAME: &str = "she";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "similarity of the feature to the stored pattern of the predicted class",
    citation: "Zhang et al., ICLR 2023",
    needs: &[
        Need::Logits,
        Need::Features,
        Need::TrainLogits,
        Need::TrainFeatures,
        Need::TrainLabels,
    ],
    defaults: parameters::defaults::<Parameters>,
    grid: &[],
    construct: |table| Ok(Box::new(She::new(parameters::parse(KIND, NAME, table)?))),
};

/// How a feature is compared with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// `<f, pattern>`, the paper's.
    #[default]
    InnerProduct,
    /// `-||f - pattern||`
    Euclidean,
    /// `<f, pattern> / (||f|| ||pattern||)`
    Cosine,
}

/// Parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// `"inner_product"`, `"euclidean"` or `"cosine"`.
    pub metric: Metric,
}

/// Score: similarity to the predicted class's pattern, which is the mean feature of its correctly classified
/// training samples.
#[derive(Debug)]
pub struct She {
    parameters: Parameters,
    patterns: Option<Array2<f64>>,
}

impl She {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            patterns: None,
        }
    }

    /// The fitted patterns, [class, feature].
    pub fn patterns(&self) -> Option<&Array2<f64>> {
        self.patterns.as_ref()
    }
}

impl Detector for She {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let Observations {
            logits, features, ..
        } = data.train.observations;
        let predicted = predictions(logits);
        let labels = data.train.labels;
        let patterns = class_means(features, labels, logits.ncols(), |row| {
            predicted[row] == labels[row]
        });
        self.patterns = Some(patterns.map_err(|class| {
            let cause = format!("class {class} has no correctly classified training sample");
            Error::detector(
                NAME,
                cause,
                "pass more training samples, or use a detector without class patterns",
            )
        })?);
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let patterns = fitted(NAME, &self.patterns)?;
        Ok(by_rows(observations.features.nrows(), |row| {
            let feature = observations.features.row(row).mapv(f64::from);
            let pattern = patterns.row(argmax(observations.logits.row(row)));
            match self.parameters.metric {
                Metric::InnerProduct => feature.dot(&pattern),
                Metric::Euclidean => -norm((&feature - &pattern).view()),
                // The floor is PyTorch's, and makes the cosine with a zero feature 0.
                Metric::Cosine => {
                    feature.dot(&pattern) / (norm(feature.view()) * norm(pattern)).max(1e-8)
                }
            }
        }))
    }
}
