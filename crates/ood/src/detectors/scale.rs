//! SCALE.
//!
//! Xu et al., "Scaling for Training Time and Post-hoc Out-of-distribution Detection Enhancement", ICLR 2024.

use ndarray::ArrayViewMut1;
use serde::{Deserialize, Serialize};

use super::ash::largest;
use super::grid::{GridAxis, SHAPING_PERCENTILES};
use super::head::OwnedHead;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::{Error, parameters};

const NAME: &str = "scale";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "energy after scaling all features by how concentrated they are",
    citation: "Xu et al., ICLR 2024",
    needs: &[Need::Features, Need::Head],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::real("percentile", SHAPING_PERCENTILES)],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            (0.0..100.0).contains(&parameters.percentile),
            "`percentile` must lie in [0, 100)",
        )?;
        Ok(Box::new(Scale {
            parameters,
            head: None,
        }))
    },
};

/// Parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Percentage of the features left out of the second sum, the smallest first; 85 in the paper.
    pub percentile: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { percentile: 85.0 }
    }
}

/// Score: log-sum-exp of the logits of `f exp(sum of f / sum of its largest entries)`.
#[derive(Debug)]
pub struct Scale {
    parameters: Parameters,
    head: Option<OwnedHead>,
}

impl Detector for Scale {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.head = Some(data.head.into());
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let head = fitted(NAME, &self.head)?;
        Ok(head.scores(observations.features, |f| {
            shape(f, self.parameters.percentile)
        }))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        let head = fitted(NAME, &self.head)?;
        Ok(head.classes(observations.features, |f| {
            shape(f, self.parameters.percentile)
        }))
    }
}

/// Scales one feature vector in place; one whose largest entries sum to zero stays as it is.
pub fn shape(mut features: ArrayViewMut1<f64>, percentile: f64) {
    let all = features.sum();
    let kept: f64 = largest(&features, percentile)
        .into_iter()
        .map(|index| features[index])
        .sum();
    if kept != 0.0 {
        features *= (all / kept).exp();
    }
}
