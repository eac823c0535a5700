//! Energy-based detection.
//!
//! Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020; the score is the negative
//! energy.

use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::{Detector, DetectorEntry, KIND, Need, Observations, check, softmax};
use crate::{Error, parameters};

const NAME: &str = "ebo";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "negative energy: log-sum-exp of the logits",
    citation: "Liu et al., NeurIPS 2020",
    needs: &[Need::Logits],
    defaults: parameters::defaults::<Ebo>,
    grid: &[GridAxis::real("temperature", &[1.0, 10.0, 100.0, 1000.0])],
    construct: |table| {
        let detector: Ebo = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            detector.temperature > 0.0,
            "`temperature` must be positive",
        )?;
        Ok(Box::new(detector))
    },
};

/// Score `T log sum_c exp(z_c / T)`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ebo {
    /// Temperature T; 1 in the paper.
    pub temperature: f64,
}

impl Default for Ebo {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl Detector for Ebo {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let t = self.temperature;
        Ok(softmax::score_rows(observations.logits, |z| {
            t * softmax::log_sum_exp((&z / t).view())
        }))
    }
}
