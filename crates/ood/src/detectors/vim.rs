//! ViM, virtual-logit matching.
//!
//! Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022.

use super::grid::GridAxis;
use super::residual::{NullSpace, Parameters};
use super::softmax::{log_sum_exp, max, score_rows};
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::{Error, parameters};

const NAME: &str = "vim";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "energy minus a virtual logit, the scaled norm outside the principal subspace",
    citation: "Wang et al., CVPR 2022",
    needs: &[
        Need::Logits,
        Need::Features,
        Need::Head,
        Need::TrainLogits,
        Need::TrainFeatures,
    ],
    defaults: parameters::defaults::<Parameters>,
    grid: &[GridAxis::whole("dim", &[256, 1000])],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(NAME, parameters.dim != Some(0), "`dim` must be at least 1")?;
        Ok(Box::new(Vim::new(parameters)))
    },
};

/// Score `log sum_c exp(z_c) - alpha ||R^T (f - u)||`, alpha the mean largest training logit over the mean
/// training residual.
#[derive(Debug)]
pub struct Vim {
    parameters: Parameters,
    state: Option<(NullSpace, f64)>,
}

impl Vim {
    /// An unfitted detector.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: None,
        }
    }

    /// The fitted subspace and alpha.
    pub fn state(&self) -> Option<(&NullSpace, f64)> {
        self.state.as_ref().map(|(space, alpha)| (space, *alpha))
    }
}

impl Detector for Vim {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let Observations {
            logits, features, ..
        } = data.train.observations;
        let space = NullSpace::fit(NAME, &self.parameters, features, data.head)?;
        let residual: f64 = space.residual_norms(features).iter().sum();
        let largest: f64 = score_rows(logits, max).iter().sum();
        if residual <= 0.0 {
            let mend = "pass more training samples than `dim`, or lower `dim`";
            return Err(Error::detector(
                NAME,
                "training features have no residual",
                mend,
            ));
        }
        self.state = Some((space, largest / residual));
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let (space, alpha) = fitted(NAME, &self.state)?;
        let energies = score_rows(observations.logits, log_sum_exp);
        let residuals = space.residual_norms(observations.features);
        Ok(energies
            .into_iter()
            .zip(residuals)
            .map(|(energy, residual)| energy - alpha * residual)
            .collect())
    }
}
