//! GradNorm.
//!
//! Huang, Geng and Li, "On the Importance of Gradients for Detecting Distributional Shifts in the Wild",
//! NeurIPS 2021.

use super::{Detector, DetectorEntry, Need, Observations, softmax, without_parameters};
use crate::Error;
use crate::linalg::by_rows;

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: "gradnorm",
    summary: "L1 norm of the last layer's gradient of the divergence from uniform",
    citation: "Huang, Geng and Li, NeurIPS 2021",
    needs: &[Need::Logits, Need::Features],
    defaults: toml::Table::new,
    grid: &[],
    construct: |table| without_parameters::<GradNorm>("gradnorm", table),
};

/// Score `||f||_1 sum_c |C p_c - 1|`: the L1 norm of the gradient of `sum_c -log p_c` by the last layer's
/// weights, which is the outer product of `C p - 1` and the feature. T = 1.
#[derive(Debug, Default)]
pub struct GradNorm;

impl Detector for GradNorm {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let Observations {
            logits, features, ..
        } = *observations;
        Ok(by_rows(logits.nrows(), |i| {
            let classes = logits.ncols() as f64;
            let p = softmax::softmax(logits.row(i).mapv(f64::from).view());
            let output: f64 = p.iter().map(|p| (classes * p - 1.0).abs()).sum();
            let feature: f64 = features.row(i).iter().map(|&f| f64::from(f).abs()).sum();
            feature * output
        }))
    }
}
