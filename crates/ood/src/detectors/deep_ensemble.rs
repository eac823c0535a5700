//! Deep ensembles.
//!
//! Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
//! Ensembles", NeurIPS 2017.

use ndarray::{Array1, ArrayView3, s};
use serde::{Deserialize, Serialize};

use super::{Detector, DetectorEntry, KIND, Need, Observations, softmax};
use crate::linalg::by_rows;
use crate::{Error, parameters};

const NAME: &str = "deep_ensemble";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "largest softmax probability of the members' mean",
    citation: "Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017",
    needs: &[Need::Members],
    defaults: parameters::defaults::<Average>,
    grid: &[],
    construct: |table| {
        Ok(Box::new(DeepEnsemble::new(parameters::parse(
            KIND, NAME, table,
        )?)))
    },
};

/// What is averaged over the members before the largest probability is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AverageOf {
    /// Logits, as OpenOOD does.
    #[default]
    Logits,
    /// Softmax probabilities, as the paper does; up to 0.2 apart from the other.
    Probabilities,
}

/// Parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Average {
    /// `"logits"` (the default, OpenOOD's) or `"probabilities"`.
    pub average: AverageOf,
}

/// Score: the largest softmax probability of the mean over members.
#[derive(Debug)]
pub struct DeepEnsemble {
    parameters: Average,
}

impl DeepEnsemble {
    /// The detector.
    pub fn new(parameters: Average) -> Self {
        Self { parameters }
    }
}

impl Detector for DeepEnsemble {
    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        Ok(scores_of_members(
            members(observations)?,
            self.parameters.average,
        ))
    }

    fn predict(&self, observations: &Observations) -> Result<Vec<usize>, Error> {
        Ok(classes_of_members(
            members(observations)?,
            self.parameters.average,
        ))
    }
}

fn members<'a>(observations: &Observations<'a>) -> Result<ArrayView3<'a, f32>, Error> {
    observations.members.ok_or_else(|| {
        Error::detector(
            NAME,
            "there are no member logits",
            "pass [member, n, class]",
        )
    })
}

/// The largest probability of the mean over members, of logits [member, n, class].
pub(crate) fn scores_of_members(members: ArrayView3<f32>, average: AverageOf) -> Vec<f64> {
    mean_probabilities(members, average)
        .iter()
        .map(|p| softmax::max(p.view()))
        .collect()
}

/// The class of the largest probability of the mean over members, of logits [member, n, class].
pub(crate) fn classes_of_members(members: ArrayView3<f32>, average: AverageOf) -> Vec<usize> {
    mean_probabilities(members, average)
        .iter()
        .map(|p| softmax::argmax(p.view()))
        .collect()
}

/// Class probabilities of each sample, `[n]` times `[class]`.
fn mean_probabilities(members: ArrayView3<f32>, average: AverageOf) -> Vec<Array1<f64>> {
    let (k, n, classes) = members.dim();
    by_rows(n, |i| {
        let mut mean = Array1::<f64>::zeros(classes);
        for member in 0..k {
            let logits = members.slice(s![member, i, ..]).mapv(f64::from);
            match average {
                AverageOf::Logits => mean += &logits,
                AverageOf::Probabilities => {
                    mean += &Array1::from_vec(softmax::softmax(logits.view()))
                }
            }
        }
        mean /= k as f64;
        match average {
            AverageOf::Logits => Array1::from_vec(softmax::softmax(mean.view())),
            AverageOf::Probabilities => mean,
        }
    })
}
