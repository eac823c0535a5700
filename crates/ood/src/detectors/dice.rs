//! DICE, directed sparsification.
//!
//! Sun and Li, "DICE: Leveraging Sparsification for Out-of-Distribution Detection", ECCV 2022.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::head::OwnedHead;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::linalg::mean_row;
use crate::{Error, parameters, quantile};

const NAME: &str = "dice";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "energy under a head whose least contributing weights are zero",
    citation: "Sun and Li, ECCV 2022",
    needs: &[Need::Features, Need::Head, Need::TrainFeatures],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::real("p", &[90.0])],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            (0.0..=100.0).contains(&parameters.p),
            "`p` must lie in [0, 100]",
        )?;
        Ok(Box::new(Dice::new(parameters)))
    },
};

/// Parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Percentile of the contributions above which a weight stays; 90 in the paper.
    pub p: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { p: 90.0 }
    }
}

/// What DICE learns.
#[derive(Debug)]
pub struct State {
    /// Mean training feature, `[feature]`.
    pub mean_activation: Array1<f64>,
    /// The contribution a weight must exceed to stay.
    pub threshold: f64,
    head: OwnedHead,
}

impl State {
    /// The head's weights, zero where they do not contribute, [class, feature].
    pub fn masked_weight(&self) -> &Array2<f64> {
        &self.head.weight
    }
}

/// Score: log-sum-exp of the logits under the masked weights. A weight's contribution is itself times the mean
/// training activation of its feature; the bias stays.
#[derive(Debug)]
pub struct Dice {
    parameters: Parameters,
    state: Option<State>,
}

impl Dice {
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

impl Detector for Dice {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let mean_activation = mean_row(data.train.observations.features);
        let mut head = OwnedHead::from(data.head);
        let contribution = &head.weight * &mean_activation;
        let threshold = quantile(
            &mut contribution.iter().copied().collect::<Vec<_>>(),
            self.parameters.p / 100.0,
        )
        .ok_or_else(|| {
            Error::detector(
                NAME,
                "the head has no weights",
                "pass weight [class, feature]",
            )
        })?;
        head.weight
            .zip_mut_with(&contribution, |weight, &contribution| {
                if contribution <= threshold {
                    *weight = 0.0;
                }
            });
        self.state = Some(State {
            mean_activation,
            threshold,
            head,
        });
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        Ok(fitted(NAME, &self.state)?
            .head
            .scores(observations.features, |_| {}))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        Ok(fitted(NAME, &self.state)?
            .head
            .classes(observations.features, |_| {}))
    }
}
