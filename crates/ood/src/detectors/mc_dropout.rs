//! Monte Carlo dropout.
//!
//! Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning",
//! ICML 2016.
//!
//! The published classifiers were trained without dropout, so it is put where it can be put into any of them: on the
//! penultimate features, before the head, as in OpenOOD's dropout networks. A pass is then a function of stored
//! features, and no network runs again.

use ndarray::{Array2, Array3, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::deep_ensemble::{AverageOf, classes_of_members, scores_of_members};
use super::head::OwnedHead;
use super::{Detector, DetectorEntry, FitData, KIND, Need, Observations, check, fitted};
use crate::linalg::affine;
use crate::{Error, parameters};

const NAME: &str = "mc_dropout";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "largest softmax probability of the mean over passes with dropout before the head",
    citation: "Gal and Ghahramani, ICML 2016",
    needs: &[Need::Features, Need::Head],
    defaults: parameters::defaults::<Parameters>,
    grid: &[],
    construct: |table| {
        let parameters: Parameters = parameters::parse(KIND, NAME, table)?;
        check(NAME, parameters.passes > 0, "`passes` must be at least 1")?;
        check(
            NAME,
            (0.0..1.0).contains(&parameters.rate),
            "`rate` must lie in [0, 1)",
        )?;
        Ok(Box::new(McDropout {
            parameters,
            head: None,
        }))
    },
};

/// Parameters; the defaults are OpenOOD's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Number of passes; 5.
    pub passes: usize,
    /// Probability that a feature is dropped; 0.5.
    pub rate: f64,
    /// What is averaged over the passes: `"logits"` (the default) or `"probabilities"`.
    pub average: AverageOf,
    /// Seed of the masks.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            passes: 5,
            rate: 0.5,
            average: AverageOf::Logits,
            seed: 0,
        }
    }
}

/// Score: the largest softmax probability of the mean over passes. A pass drops the same features of every sample (a
/// draw of one thinned network), and the masks come from the seed and the pass alone: a sample's score depends neither
/// on its batch nor on the order of work.
#[derive(Debug)]
pub struct McDropout {
    parameters: Parameters,
    head: Option<OwnedHead>,
}

impl McDropout {
    /// Logits of every pass, [pass, n, class].
    fn passes(&self, observations: &Observations) -> Result<Array3<f32>, Error> {
        let head = fitted(NAME, &self.head)?;
        let features = observations.features.mapv(f64::from);
        let Parameters {
            passes, rate, seed, ..
        } = self.parameters;
        let mut logits = Array3::zeros((passes, features.nrows(), head.bias.len()));
        for (pass, mut logits) in logits.axis_iter_mut(Axis(0)).enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(pass as u64);
            let kept: Vec<f64> = (0..features.ncols())
                .map(|_| match rng.random_bool(rate) {
                    true => 0.0,
                    false => 1.0 / (1.0 - rate),
                })
                .collect();
            // Thinning the head's columns is thinning the features.
            let mut weight: Array2<f64> = head.weight.clone();
            for (mut column, kept) in weight.axis_iter_mut(Axis(1)).zip(kept) {
                column *= kept;
            }
            let thinned = affine(features.view(), weight.view(), head.bias.view());
            logits.assign(&thinned.mapv(|z| z as f32));
        }
        Ok(logits)
    }
}

impl Detector for McDropout {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        self.head = Some(data.head.into());
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let passes = self.passes(observations)?;
        Ok(scores_of_members(passes.view(), self.parameters.average))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        let passes = self.passes(observations)?;
        Ok(classes_of_members(passes.view(), self.parameters.average))
    }
}
