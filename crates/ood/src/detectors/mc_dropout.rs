//! Monte Carlo dropout.
//!
//! Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning",
//! ICML 2016.

use super::deep_ensemble::{Average, DeepEnsemble};
use super::{DetectorEntry, KIND, Need};
use crate::parameters;

const NAME: &str = "mc_dropout";

/// The passes with dropout are scored as the members of an ensemble are.
pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "largest softmax probability of the mean over passes with dropout",
    citation: "Gal and Ghahramani, ICML 2016",
    needs: &[Need::Members],
    defaults: parameters::defaults::<Average>,
    construct: |table| {
        Ok(Box::new(DeepEnsemble::new(parameters::parse(
            KIND, NAME, table,
        )?)))
    },
};
