//! VRA, variational rectified activation, in the form of OpenOOD: clipped from both sides. (What is below the lower threshold is
//! raised to it; elsewhere VRA-P is found to set it to zero.)
//!
//! Xu et al., "VRA: Variational Rectified Activation for Out-of-distribution Detection", NeurIPS 2023.

use ndarray::ArrayViewMut1;
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::head::OwnedHead;
use super::react::activation_percentile;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::{Error, parameters};

const NAME: &str = "vra";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "energy after clipping the features from both sides",
    citation: "Xu et al., NeurIPS 2023",
    needs: &[Need::Features, Need::Head, Need::ValFeatures],
    defaults: parameters::defaults::<Parameters>,
    grid: &[
        GridAxis::real("percentile_high", &[85.0, 90.0, 95.0, 99.0]),
        GridAxis::real("percentile_low", &[1.0, 5.0, 10.0, 15.0]),
    ],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        let (low, high) = (parameters.percentile_low, parameters.percentile_high);
        let right = 0.0 <= low && low < high && high <= 100.0;
        check(
            NAME,
            right,
            "percentiles must satisfy 0 <= `percentile_low` < `percentile_high` <= 100",
        )?;
        Ok(Box::new(Vra::new(parameters)))
    },
};

/// Parameters; the defaults are OpenOOD's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Percentile of all validation activations below which features are raised to it; 10.
    pub percentile_low: f64,
    /// Percentile above which features are lowered to it; 90.
    pub percentile_high: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            percentile_low: 10.0,
            percentile_high: 90.0,
        }
    }
}

/// Score `log sum_c exp(W clip(f, low, high) + b)_c`.
#[derive(Debug)]
pub struct Vra {
    parameters: Parameters,
    state: Option<(OwnedHead, [f64; 2])>,
}

impl Vra {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: None,
        }
    }

    /// The fitted lower and upper threshold.
    pub fn thresholds(&self) -> Option<[f64; 2]> {
        self.state.as_ref().map(|state| state.1)
    }
}

impl Detector for Vra {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let low = activation_percentile(NAME, data, self.parameters.percentile_low)?;
        let high = activation_percentile(NAME, data, self.parameters.percentile_high)?;
        self.state = Some((data.head.into(), [low, high]));
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let (head, thresholds) = fitted(NAME, &self.state)?;
        Ok(head.scores(observations.features, clip(*thresholds)))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        let (head, thresholds) = fitted(NAME, &self.state)?;
        Ok(head.classes(observations.features, clip(*thresholds)))
    }
}

fn clip([low, high]: [f64; 2]) -> impl Fn(ArrayViewMut1<f64>) + Sync {
    move |mut f| f.mapv_inplace(|f| f.clamp(low, high))
}
