//! Maximum logit score.
//!
//! Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022.

use super::{Detector, DetectorEntry, Need, Observations, softmax, without_parameters};
use crate::Error;

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: "mls",
    summary: "largest logit",
    citation: "Hendrycks et al., ICML 2022",
    needs: &[Need::Logits],
    defaults: toml::Table::new,
    grid: &[],
    construct: |table| without_parameters::<Mls>("mls", table),
};

/// Score `max_c z_c`.
#[derive(Debug, Default)]
pub struct Mls;

impl Detector for Mls {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        Ok(softmax::score_rows(observations.logits, softmax::max))
    }
}
