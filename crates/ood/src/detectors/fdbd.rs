//! fDBD, fast decision boundary based detection.
//!
//! Liu and Qin, "Fast Decision Boundary based Out-of-Distribution Detector", ICML 2024.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::softmax::argmax;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, fitted};
use crate::linalg::{by_rows, mean_row, norm};
use crate::{Error, parameters};

const NAME: &str = "fdbd";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "distance to the decision boundaries relative to the distance to the training mean",
    citation: "Liu and Qin, ICML 2024",
    needs: &[
        Need::Logits,
        Need::Features,
        Need::Head,
        Need::TrainFeatures,
    ],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::flag("distance_as_normalizer", &[true, false])],
    construct: |table| Ok(Box::new(Fdbd::new(parameters::parse(KIND, NAME, table)?))),
};

/// Parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Divide by the distance to the mean training feature (`true`, the paper's) or by the feature's norm.
    pub distance_as_normalizer: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            distance_as_normalizer: true,
        }
    }
}

/// What fDBD learns.
#[derive(Debug)]
pub struct State {
    /// Mean training feature, `[feature]`.
    pub train_mean: Array1<f64>,
    /// `||w_a - w_b||`, 1 on the diagonal, [class, class].
    pub denominators: Array2<f64>,
}

/// Score `sum_c |z_pred - z_c| / ||w_pred - w_c||`, over the normaliser.
#[derive(Debug)]
pub struct Fdbd {
    parameters: Parameters,
    state: Option<State>,
}

impl Fdbd {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: None,
        }
    }

    /// What was learnt.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }
}

impl Detector for Fdbd {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let weight = data.head.weight.mapv(f64::from);
        let classes = weight.nrows();
        let denominators = Array2::from_shape_fn((classes, classes), |(a, b)| match a == b {
            true => 1.0,
            false => norm((&weight.row(a) - &weight.row(b)).view()),
        });
        if let Some(((a, b), _)) = denominators
            .indexed_iter()
            .find(|(_, distance)| **distance == 0.0)
        {
            let cause =
                format!("classes {a} and {b} have the same weights: no boundary lies between them");
            return Err(Error::detector(NAME, cause, "check the head"));
        }
        self.state = Some(State {
            train_mean: mean_row(data.train.observations.features),
            denominators,
        });
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let State {
            train_mean,
            denominators,
        } = fitted(NAME, &self.state)?;
        Ok(by_rows(observations.logits.nrows(), |row| {
            let logits = observations.logits.row(row).mapv(f64::from);
            let predicted = argmax(logits.view());
            let boundaries: f64 = logits
                .iter()
                .zip(denominators.row(predicted))
                .map(|(z, denominator)| (logits[predicted] - z).abs() / denominator)
                .sum();
            let mut feature = observations.features.row(row).mapv(f64::from);
            if self.parameters.distance_as_normalizer {
                feature -= train_mean;
            }
            boundaries / norm(feature.view())
        }))
    }
}
