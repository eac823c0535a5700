//! ODIN, from the logits of perturbed inputs on.
//!
//! Liang, Li and Srikant, "Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks",
//! ICLR 2018. The perturbation needs the network's input gradient and lives with the networks
//! (`diffguard_models::input_gradient`); what it leaves is stored like any other observation, and the score is a pure
//! function of it.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::grid::GridAxis;
use super::{Detector, DetectorEntry, KIND, Need, Observations, check, softmax};
use crate::{Error, parameters};

const NAME: &str = "odin";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "largest softmax probability at a temperature, after a step of the input along its gradient",
    citation: "Liang, Li and Srikant, ICLR 2018",
    needs: &[Need::Perturbed],
    defaults: parameters::defaults::<Odin>,
    grid: &[
        GridAxis::real("temperature", &[1.0, 10.0, 100.0, 1000.0]),
        GridAxis::real("noise", &[0.0014, 0.0028]),
    ],
    construct: |table| Ok(Box::new(Odin::read(table)?)),
};

/// Score `max_c softmax(z / T)_c` of the logits of the perturbed input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Odin {
    /// Temperature T of the gradient's cross-entropy and of the score; 1000 in the paper.
    pub temperature: f64,
    /// Step of the input, in units of images in [0, 1]; 0.0014 in the paper.
    pub noise: f64,
}

impl Default for Odin {
    fn default() -> Self {
        Self {
            temperature: 1000.0,
            noise: 0.0014,
        }
    }
}

impl Odin {
    /// Reads the parameters: which perturbation has to be observed for them.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an unknown key or a value out of range.
    pub fn read(table: toml::Table) -> Result<Self, Error> {
        let odin: Self = parameters::parse(KIND, NAME, table)?;
        check(
            NAME,
            odin.temperature > 0.0 && odin.temperature.is_finite(),
            "`temperature` must be positive",
        )?;
        check(
            NAME,
            (0.0..=1.0).contains(&odin.noise),
            "`noise` must lie in [0, 1]",
        )?;
        Ok(odin)
    }

    fn logits<'a>(&self, observations: &Observations<'a>) -> Result<ArrayView2<'a, f32>, Error> {
        let seen = observations
            .perturbed
            .iter()
            .find(|seen| seen.temperature == self.temperature && seen.noise == self.noise);
        seen.map(|seen| seen.logits).ok_or_else(|| {
            let there: Vec<String> = observations
                .perturbed
                .iter()
                .map(|seen| format!("({}, {})", seen.temperature, seen.noise))
                .collect();
            let cause = format!(
                "there are no logits of inputs perturbed at (temperature, noise) = ({}, {}), but at {}",
                self.temperature,
                self.noise,
                there.join(", ")
            );
            Error::detector(NAME, cause, "observe that perturbation")
        })
    }
}

impl Detector for Odin {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        Ok(odin_scores(self.logits(observations)?, self.temperature))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        Ok(softmax::predictions(self.logits(observations)?))
    }
}

/// `max_c softmax(z / T)_c` of logits [n, class].
pub fn odin_scores(logits: ArrayView2<f32>, temperature: f64) -> Vec<f64> {
    softmax::score_rows(logits, |z| {
        softmax::max_probability((&z / temperature).view())
    })
}
