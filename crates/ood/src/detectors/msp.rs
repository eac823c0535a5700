//! Maximum softmax probability.
//!
//! Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
//! Networks", ICLR 2017.

use super::{Detector, DetectorEntry, Need, Observations, softmax, without_parameters};
use crate::Error;

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: "msp",
    summary: "largest softmax probability",
    citation: "Hendrycks and Gimpel, ICLR 2017",
    needs: &[Need::Logits],
    defaults: toml::Table::new,
    grid: &[],
    construct: |table| without_parameters::<Msp>("msp", table),
};

/// Score `max_c softmax(z)_c`, in (0, 1]. In double precision, so confident samples that all round to 1 in
/// single precision keep their order.
#[derive(Debug, Default)]
pub struct Msp;

impl Detector for Msp {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        Ok(softmax::score_rows(
            observations.logits,
            softmax::max_probability,
        ))
    }
}
