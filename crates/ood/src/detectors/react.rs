//! ReAct, rectified activations.
//!
//! Sun, Guo and Li, "ReAct: Out-of-distribution Detection With Rectified Activations", NeurIPS 2021.

use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::head::OwnedHead;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::{Error, parameters, quantile};

const NAME: &str = "react";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "energy after clipping the features from above",
    citation: "Sun, Guo and Li, NeurIPS 2021",
    needs: &[Need::Features, Need::Head, Need::ValFeatures],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::real("percentile", &[85.0, 90.0, 95.0, 99.0])],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            (0.0..=100.0).contains(&parameters.percentile),
            "`percentile` must lie in [0, 100]",
        )?;
        Ok(Box::new(React::new(parameters)))
    },
};

/// Parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Percentile of all validation activations at which features are clipped; 90 in the paper.
    pub percentile: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { percentile: 90.0 }
    }
}

/// Score `log sum_c exp(W min(f, threshold) + b)_c`.
#[derive(Debug)]
pub struct React {
    parameters: Parameters,
    state: Option<(OwnedHead, f64)>,
}

impl React {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: None,
        }
    }

    /// The fitted clipping threshold.
    pub fn threshold(&self) -> Option<f64> {
        self.state.as_ref().map(|state| state.1)
    }
}

impl Detector for React {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let threshold = activation_percentile(NAME, data, self.parameters.percentile)?;
        self.state = Some((data.head.into(), threshold));
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let (head, threshold) = fitted(NAME, &self.state)?;
        Ok(head.scores(observations.features, |mut f| {
            f.mapv_inplace(|f| f.min(*threshold))
        }))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        let (head, threshold) = fitted(NAME, &self.state)?;
        Ok(head.classes(observations.features, |mut f| {
            f.mapv_inplace(|f| f.min(*threshold))
        }))
    }
}

/// A percentile over all validation activations, all samples and all features together.
pub(super) fn activation_percentile(
    name: &str,
    data: &FitData,
    percentile: f64,
) -> Result<f64, Error> {
    let mut activations: Vec<f64> = data
        .val
        .observations
        .features
        .iter()
        .map(|&f| f64::from(f))
        .collect();
    quantile(&mut activations, percentile / 100.0)
        .ok_or_else(|| Error::detector(name, "there are no validation features", "pass some"))
}
