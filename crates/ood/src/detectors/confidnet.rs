//! ConfidNet: a head that learns the probability of the true class.
//!
//! Corbière et al., "Addressing Failure Prediction by Learning Model Confidence", NeurIPS 2019.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::mlp::{Mlp, Training};
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted, softmax};
use crate::{Error, parameters};

const NAME: &str = "confidnet";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "true-class probability as a five-layer head predicts it from the features (trained when fitted)",
    citation: "Corbière et al., NeurIPS 2019",
    needs: &[
        Need::Features,
        Need::TrainLogits,
        Need::TrainFeatures,
        Need::TrainLabels,
    ],
    defaults: parameters::defaults::<Parameters>,
    grid: &[],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        for (right, problem) in [
            (parameters.hidden > 0, "`hidden` must be at least 1"),
            (parameters.epochs > 0, "`epochs` must be at least 1"),
            (parameters.batch > 0, "`batch` must be at least 1"),
            (
                parameters.learning_rate > 0.0 && parameters.learning_rate <= 1.0,
                "`learning_rate` must lie in (0, 1]",
            ),
        ] {
            check(NAME, right, problem)?;
        }
        Ok(Box::new(ConfidNet {
            parameters,
            state: None,
        }))
    },
};

/// Parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Width of the four hidden layers; 400 in the paper.
    pub hidden: usize,
    /// Passes over the training features; 10. (The paper trains for hundreds at a tenth of the rate.)
    pub epochs: usize,
    /// Samples of a step; 128 in the paper.
    pub batch: usize,
    /// Adam's rate at the start, 0.001; a half cosine takes it to 0.
    pub learning_rate: f64,
    /// Seed of the initial weights and of the order of samples.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            hidden: 400,
            epochs: 10,
            batch: 128,
            learning_rate: 0.001,
            seed: 0,
        }
    }
}

/// Score: the predicted true-class probability, in (0, 1).
///
/// The head has the paper's shape (five dense layers, ReLU, a sigmoid) and its loss (mean squared error against
/// `softmax(z)_y` of the training samples), on standardised features. **What differs:** the paper then fine-tunes a
/// copy of the encoder under the same loss, and trains with dropout switched off and data augmentation on; here the
/// features are those stored of the classifier under protection, which stays as it is. A classifier that is right and
/// sure on nearly all of its training set leaves little to learn from, as the paper says of its own.
///
/// Fitting is deterministic: one thread, one seed, the same bits.
#[derive(Debug)]
pub struct ConfidNet {
    parameters: Parameters,
    state: Option<State>,
}

#[derive(Debug)]
struct State {
    mean: Array1<f32>,
    /// Reciprocal standard deviation; 1 for a feature that does not vary.
    scale: Array1<f32>,
    head: Mlp,
}

impl State {
    fn standardised(&self, features: ArrayView2<f32>) -> Array2<f32> {
        (&features - &self.mean) * &self.scale
    }
}

impl Detector for ConfidNet {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let Observations {
            logits, features, ..
        } = data.train.observations;
        let mean = crate::linalg::mean_row(features);
        let deviation = crate::linalg::deviation_row(features, &mean);
        if deviation.iter().all(|&deviation| deviation == 0.0) {
            return Err(Error::detector(
                NAME,
                "training features do not vary",
                "check the features, or pass more training samples",
            ));
        }
        let targets: Vec<f32> = logits
            .axis_iter(Axis(0))
            .zip(data.train.labels)
            .map(|(z, &label)| softmax::softmax(z.mapv(f64::from).view())[label] as f32)
            .collect();
        let prior = targets.iter().map(|&t| f64::from(t)).sum::<f64>() / targets.len() as f64;
        let Parameters {
            hidden,
            epochs,
            batch,
            learning_rate,
            seed,
        } = self.parameters;
        let widths = [features.ncols(), hidden, hidden, hidden, hidden, 1];
        let mut state = State {
            mean: mean.mapv(|mean| mean as f32),
            scale: deviation.mapv(|d| if d > 0.0 { (1.0 / d) as f32 } else { 1.0 }),
            head: Mlp::new(&widths, prior, seed),
        };
        let inputs = state.standardised(features);
        let losses = state.head.train(
            inputs.view(),
            &targets,
            Training {
                epochs,
                batch,
                learning_rate,
                seed,
            },
        );
        if losses.iter().any(|loss| !loss.is_finite()) {
            return Err(Error::detector(
                NAME,
                "training diverged",
                "lower `learning_rate`",
            ));
        }
        self.state = Some(state);
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let state = fitted(NAME, &self.state)?;
        Ok(state
            .head
            .predict(state.standardised(observations.features).view()))
    }
}
