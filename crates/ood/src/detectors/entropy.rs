//! Shannon entropy of the softmax distribution.
//!
//! The classical uncertainty of a predictive distribution; in OOD detection e.g. Chan et al., "Entropy
//! Maximization and Meta Classification for Out-of-Distribution Detection in Semantic Segmentation", ICCV 2021.

use super::{Detector, DetectorEntry, Need, Observations, softmax, without_parameters};
use crate::Error;

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: "entropy",
    summary: "negative entropy of the softmax distribution",
    citation: "Chan et al., ICCV 2021",
    needs: &[Need::Logits],
    defaults: toml::Table::new,
    grid: &[],
    construct: |table| without_parameters::<Entropy>("entropy", table),
};

/// Probabilities below this count as this.
const SMALLEST: f64 = 1e-7;

/// Score `sum_c p_c log p_c` with p = softmax(z) clipped below at 1e-7.
#[derive(Debug, Default)]
pub struct Entropy;

impl Detector for Entropy {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        Ok(softmax::score_rows(observations.logits, |z| {
            softmax::softmax(z)
                .into_iter()
                .map(|p| p.max(SMALLEST))
                .map(|p| p * p.ln())
                .sum()
        }))
    }
}
